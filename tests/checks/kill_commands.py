"""The commands that kill_sweep ends and resumes, and the inputs that they read."""
import dataclasses, os, shutil, subprocess
from pathlib import Path

MODELS = Path(__file__).resolve().parents[2] / "models"
PROMPT = "a large red circle on a white background"
LATEST = ["--resume_from_checkpoint", "latest"]
ENVIRONMENT = dict(os.environ, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", COLUMNS="100")


@dataclasses.dataclass
class Command:
    name: str
    arguments: list
    resume: list = dataclasses.field(default_factory=list)  # more arguments of the resumed command

    def has_checkpoints(self):
        return self.name.startswith(("finetune", "distill"))


def commands():
    """All write below ./out and read ../../inputs."""
    inputs = "../../inputs/"
    yield Command("sample", ["sample", "-p", PROMPT, "-n", "6", "--batch_size", "2", "--steps", "6", "--seed", "1", "-o", "out"],
                  ["--resume"])
    yield Command("sample-best", ["sample", "-p", PROMPT, "-n", "3", "--best-of", "2", "--reward", "aesthetic", "--steps", "4",
                                  "--seed", "5", "-o", "out"], ["--resume"])
    yield Command("edit", ["edit", "-m", str(MODELS / "tiny-world-edit"), "-i", inputs + "world", "-e", "make the background white",
                           "--steps", "3", "--batch_size", "2", "--seed", "9", "--gallery", "-o", "out"], ["--resume"])
    yield Command("score", ["score", inputs + "world", "--rewards", "aesthetic,clip_score,social", "--batch_size", "2", "--format",
                            "jsonl", "--save_statistics", "out/statistics.toml", "--output", "out/scores.jsonl"])
    yield Command("judge", ["judge", inputs + "world", "--concurrency", "2", "--output", "out/judgements.jsonl"])
    yield Command("gallery", ["gallery", inputs + "world", inputs + "run", "--output", "out/gallery.html"])
    small = ["--prompts", "world", "--max_train_prompts", "4", "--reward", "aesthetic=1,clip_score=0.1", "--eval_rewards",
             "oracle", "--num_epochs", "3", "--prompts_per_epoch", "2", "--images_per_prompt", "3", "--prompts_per_update", "1",
             "--sample_num_steps", "3", "--eval_every", "1", "--eval_prompts", "2", "--eval_images", "1", "--checkpointing_steps",
             "1", "--seed", "7", "--output_dir", "out"]
    for method in ("prdp", "ddpo", "dpok", "grpo", "d3po"):
        for train in ("lora", "full"):
            yield Command(f"finetune-{method}-{train}", ["finetune", method, *small, "--train", train], LATEST)
    yield Command("finetune-grpo-learn", ["finetune", "grpo", *small, "--step_rewards", "value", "--step_value", "learn",
                                          "--value_updates", "3", "--value_replay_epochs", "2", "--save_trajectories", "2"], LATEST)
    yield Command("finetune-whole", ["finetune", "ddpo", *small, "--train", "full", "--save_as", "whole"], LATEST)
    steps = ["--max_train_steps", "4", "--train_batch_size", "2", "--eval_steps", "2", "--eval_prompts", "2", "--eval_images", "1",
             "--checkpointing_steps", "1", "--seed", "8", "--output_dir", "out"]
    for train in ("lora", "full"):
        yield Command(f"finetune-edit-{train}", ["finetune", "edit", "-m", str(MODELS / "tiny-world-edit"), "--data",
                                                 inputs + "edits", "--held_out", "4", "--train", train, *steps], LATEST)
    distill = ["distill", "--data", inputs + "world", "--images", "12", "--num_ddim_timesteps", "10", "--teacher_steps", "4", *steps]
    yield Command("distill", distill, LATEST)
    yield Command("distill-reward", [*distill, "--reward", "aesthetic=1", "--eval_rewards", "oracle", "--reward_batch_size", "2"],
                  LATEST)
    loop = ["--max_train_steps", "6", "--train_batch_size", "4", "--validation_steps", "2", "--logging_steps", "2",
            "--checkpointing_steps", "2", "--seed", "11", "--output_dir", "out"]
    yield Command("pretrain-vae", ["pretrain", "vae", *loop, "--block_out_channels", "16", "--block_out_channels", "32",
                                   "--norm_num_groups", "8"], LATEST)
    yield Command("pretrain-clip", ["pretrain", "clip", *loop, "--width", "32", "--num_attention_heads", "2",
                                    "--intermediate_size", "64", "--text_layers", "1", "--vision_layers", "1", "--image_size",
                                    "64", "--patch_size", "16", "--text_length", "32", "--vocab_size", "600", "--exam_size", "8"],
                  LATEST)
    yield Command("pretrain-unet", ["pretrain", "unet", *loop, "--images", "32", "--held_out", "8", "--block_out_channels", "16",
                                    "--block_out_channels", "32", "--attention_levels", "1", "--attention_heads", "2",
                                    "--norm_num_groups", "8", "--exam_prompts", "2", "--num_inference_steps", "2", "--vae",
                                    str(MODELS / "tiny-world/vae"), "--text_encoder", str(MODELS / "tiny-world/text_encoder")],
                  LATEST)
    yield Command("train-reward-aesthetic", ["train-reward", "aesthetic", "--images", "120", "--held_out", "40", "--epochs", "2",
                                             "--output", "out/taste.safetensors"])
    yield Command("train-reward-lvlm", ["train-reward", "lvlm", "--judgements", inputs + "judgements.jsonl", "--output_dir", "out",
                                        "--epochs", "3", "--batch_size", "32", "--members", "2", "--hidden", "16"], LATEST)


def make_inputs(laurel, inputs):
    if (inputs / "whole").exists():
        return
    shutil.rmtree(inputs, ignore_errors=True)
    inputs.mkdir(parents=True)
    with Judge(laurel) as server:
        for arguments in (["world", "--out", "world", "--count", "6", "--seed", "3"],
                          ["world", "edits", "--out", "edits", "--count", "12", "--seed", "3"],
                          ["world", "--out", "judged", "--count", "80", "--seed", "4"],
                          ["judge", "judged", "--server", server, "--axes", "alignment", "--output", "judgements.jsonl"],
                          ["finetune", "prdp", "--num_epochs", "1", "--prompts_per_epoch", "2", "--images_per_prompt", "2",
                           "--sample_num_steps", "2", "--eval_prompts", "1", "--eval_images", "1", "--reward", "brightness",
                           "--seed", "2", "--output_dir", "run"]):
            subprocess.run([laurel, *arguments], cwd=inputs, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    (inputs / "whole").touch()


class Judge:
    """A simulated judge's server while it lives; its address."""
    def __init__(self, laurel):
        self.laurel = laurel

    def __enter__(self):
        self.process = subprocess.Popen([self.laurel, "world", "judge-server", "--port", "0"], stdout=subprocess.PIPE)
        return self.process.stdout.readline().decode().split()[-1]

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
