"""The peers: how each is installed, how it is asked for a work, and what it cannot do.

A work's function gets the context and returns figures (measure.run); `cannot` says why a column stays empty.
"""
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

from measure import Failed, between, run, without_text

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SCORING_SEED = 2  # images of the run that is taken off: start and loading of the model
NO_NETWORKS = {work: "scores images, has no diffusion networks" for work in ("unet", "vae", "transformer", "sample", "prdp", "sampling", "update", "DRaFT step", "LCD step", "RG-LCD step")}
NO_TRAINING = {work: "does not train" for work in ("prdp", "update", "DRaFT step", "LCD step", "RG-LCD step")}
SHAPE_STAGES = ("unet", "vae", "transformer", "prdp")  # of networks without a model around them
NO_SCORES = {"score": "is not asked to score images; open_clip is"}


@dataclasses.dataclass
class Peer:
    name: str
    install: callable  # context -> None; raises Failed with the reason
    works: dict
    cannot: dict = dataclasses.field(default_factory=dict)


# ---- installation ----------------------------------------------------------------------------------------------------

def shell(command, context, name, **more):
    """An installing command; what it prints goes to a file."""
    log = context.output / f"install-{name}.log"
    with open(log, "ab") as target:
        if subprocess.run([str(word) for word in command], stdout=target, stderr=target, check=False, **more).returncode:
            raise Failed(f"{command[0]}: not installed, see {log}")


def python_of(context):
    """diffusers, transformers, peft, open_clip at the versions of tools/python-reference, in a virtual environment of the output folder."""
    if not context.python:
        done = subprocess.run([ROOT / "tools/python-reference"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                              env={"LAUREL_DEPS": str(context.output), **os.environ})
        if done.returncode:
            raise Failed((done.stderr.strip().splitlines() or ["tools/python-reference failed"])[-1])
        context.python = done.stdout.strip().splitlines()[-1]
    return context.python


def install_openvino(context):
    python = python_of(context)
    if subprocess.run([python, "-c", "import openvino"], stderr=subprocess.DEVNULL, check=False).returncode:
        shell([python, "-m", "pip", "install", "--quiet", "openvino"], context, "openvino")


def sd_cli(context):
    return context.output / "sdcpp/build/bin/sd-cli"


def install_sdcpp(context):
    """stable-diffusion.cpp as the sdist of stable-diffusion-cpp-python has it, compiled for this processor."""
    if sd_cli(context).exists():
        return
    for tool in ("cmake", "ninja", "g++"):
        if not shutil.which(tool):
            raise Failed(f"{tool} is missing: apt-get install cmake ninja-build g++")
    folder = context.output / "sdcpp"
    if not (folder / "source").exists():
        shell([python_of(context), "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "stable-diffusion-cpp-python", "-d", folder], context, "sdcpp")
        with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
            archive.extractall(folder / "unpacked", filter="data")
        next((folder / "unpacked").iterdir()).rename(folder / "source")
    shell(["cmake", "-S", folder / "source/vendor/stable-diffusion.cpp", "-B", folder / "build", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DSD_BUILD_EXAMPLES=ON"], context, "sdcpp")
    shell(["ninja", "-C", folder / "build", f"-j{len(context.cores)}", "sd-cli"], context, "sdcpp")


def find_laurel(context):
    if not context.laurel.exists():
        raise Failed(f"{context.laurel} is missing; build it, or name it by --laurel")


# ---- what is written once --------------------------------------------------------------------------------------------

def model_of(context):
    """A folder in diffusers' layout that every program reads: the embedded model, or one of random weights."""
    if context.shape == "tiny":
        return ROOT / "models/tiny-world"
    folder = context.output / f"model-{context.shape}"
    if not (folder / "model_index.json").exists():
        written = folder.with_suffix(".part")
        run([context.laurel, "bench", "--shape", context.shape, "--save_model", written], context.cores, {}, context.log("model"))
        written.rename(folder)
    return folder


def sized_model_of(context):
    """The same with the resolution as its own, for works that have no other option for it."""
    if context.shape == "tiny":
        return model_of(context)
    folder = context.output / f"model-{context.shape}-{context.resolution}"
    if not (folder / "model_index.json").exists():
        written = folder.with_suffix(".part")
        run([context.laurel, "bench", "--shape", context.shape, "--resolution", context.resolution, "--save_model", written], context.cores, {}, context.log("model"))
        written.rename(folder)
    return folder


def pictures_of(context):
    folder = context.output / f"scoring-{context.count}"
    if not (folder / "made").exists():
        python_run(context, "scoring_side.py", "make", {"folder": str(folder), "tokenizer": str(ROOT / "models/clip-tokenizer"), "count": context.count, "size": 512})
    return folder


def exported(context, work):
    """OpenVINO's form of a network."""
    model = context.output / f"openvino/{context.shape}-{context.resolution}-{work}.xml"
    if not model.exists():
        python_run(context, "openvino_side.py", "export", work, {"model": str(model), "shape": context.shape, "resolution": context.resolution})
    return model


# ---- running ---------------------------------------------------------------------------------------------------------

def environment(context):
    return {"OMP_NUM_THREADS": str(context.threads), "MKL_NUM_THREADS": str(context.threads), "HF_HUB_OFFLINE": "1", "LAUREL_MODELS": str(ROOT / "models")}


def python_run(context, script, *words):
    command = [python_of(context), HERE / script, *(json.dumps(word) if isinstance(word, dict) else word for word in words)]
    return run(command, context.cores, environment(context), context.log(script))


def inside(done):
    """Figures that a side's process printed, with the whole process's memory above its weights."""
    figures = json.loads(done["output"].strip().splitlines()[-1])
    return {**figures, "peak_mb": done["peak_mb"], "above_mb": done["peak_mb"] - figures["weights_mb"] if figures.get("weights_mb") else None}


def settings(context, compiled=False):
    names = ("shape", "resolution", "threads", "precision", "repeats", "images", "steps", "update_steps", "guidance", "prompt", "train", "checkpointing")
    return {name: getattr(context, name) for name in names} | {"compiled": compiled, "output": str(context.output / "diffusers.png")}


def diffusers(context, work, compiled=False):
    """A work of full_size.py makes its own network; the others read a model."""
    model = {} if work in SHAPE_STAGES else {"model": str(sized_model_of(context))}
    return inside(python_run(context, "diffusers_side.py", work, settings(context, compiled) | model))


def diffusers_sample(context, compiled=False):
    more = {"model": str(model_of(context)), "steps": context.sample_steps}
    return without_text(python_run(context, "diffusers_side.py", "sample", settings(context, compiled) | more))


def imports(*modules):
    return lambda context: without_text(run([python_of(context), "-c", f"import {', '.join(modules)}"], context.cores, environment(context), context.log("start")))


def laurel(context, stage):
    """A stage of `laurel bench`."""
    figures = context.output / "laurel.json"
    model = ["--shape", context.shape, "--resolution", context.resolution] if stage in SHAPE_STAGES else ["--model", sized_model_of(context)]
    checkpointing = ["--gradient_checkpointing"] if context.checkpointing else []
    done = run([context.laurel, "bench", *model, "--only", stage, "--threads", context.threads, "--repeats", context.repeats, "--precision", context.precision,
                "--images", context.images, "--steps", context.steps, "--update_steps", context.update_steps, "--cfg_scale", context.guidance, "--train", context.train,
                *checkpointing, "--output", figures],
               context.cores, environment(context), context.log("laurel"))
    stage = json.loads(figures.read_text())["stages"][0]
    weights = stage["weights_mb"]
    return {"wall": stage["median_s"], "user": stage["cpu_s"] - stage["system_s"], "system": stage["system_s"], "faults": stage["page_faults"], "peak_mb": done["peak_mb"],
            "above_mb": done["peak_mb"] - weights if weights else None}


def laurel_sample(context):
    shutil.rmtree(context.output / "laurel-images", ignore_errors=True)
    return without_text(run([context.laurel, "sample", "--model", model_of(context), "--prompt", context.prompt, "--steps", context.sample_steps, "--cfg_scale", context.guidance,
                             "--sampling_method", "ddim", "--seed", 1, "--height", context.resolution, "--width", context.resolution, "--precision", context.precision,
                             "--output_dir", context.output / "laurel-images"], context.cores, environment(context), context.log("laurel-sample")))


def openvino(context, work):
    done = python_run(context, "openvino_side.py", "run", work,
                      {"model": str(exported(context, work)), "threads": context.threads, "precision": context.precision, "repeats": context.repeats})
    return inside(done)


def sdcpp(context):
    """One process a round tells the steps, the decoding and the whole: lines that it prints are the marks."""
    if context.round not in context.drawn:
        kind = {"fp32": "f32", "bf16": "bf16"}[context.precision]
        context.drawn[context.round] = run(
            [sd_cli(context), "-m", model_of(context), "-p", context.prompt, "--steps", context.sample_steps, "--cfg-scale", context.guidance, "--sampling-method", "euler",
             "-s", 1, "-H", context.resolution, "-W", context.resolution, "-t", context.threads, "--type", kind, "-o", context.output / "sdcpp.png"],
            context.cores, environment(context), context.log("sdcpp"),
            {"first step": rf"\b1/{context.sample_steps} ", "last step": rf"\b{context.sample_steps}/{context.sample_steps} ",
             "sampled": r"generating \d+ latent images completed", "decoded": r"decode_first_stage completed"})
    return context.drawn[context.round]


def sdcpp_part(context, first, last, parts):
    done = sdcpp(context)
    return {**between(done["marks"], first, last, parts), "peak_mb": done["peak_mb"]}


def scoring(ask):
    """Figures of an image: those of a run on all files less those of a run on two."""
    def figures(context):
        whole, short = ask(context, context.count), ask(context, SCORING_SEED)
        each = {name: (whole[name] - short[name]) / (context.count - SCORING_SEED) for name in ("wall", "user", "system", "faults")}
        return {**each, "peak_mb": whole["peak_mb"]}
    return figures


def laurel_score(context, count):
    folder = pictures_of(context)
    files = sorted((folder / "images").glob("*.jpg"))[:count]
    output = context.output / "scores.jsonl"
    output.unlink(missing_ok=True)
    return run([context.laurel, "score", *files, "-r", "x", "--define", f"x=clip:{folder / 'model'}", "-p", "a red circle on a blue background", "-f", "jsonl", "--batch-size", 16,
                "--decode-threads", context.threads, "--precision", context.precision, "-o", output], context.cores, environment(context), context.log("laurel-score"))


def open_clip_score(kind):
    return lambda context, count: python_run(context, "scoring_side.py", kind, {"folder": str(pictures_of(context)), "count": count, "threads": context.threads, "batch": 16,
                                                                                  "output": str(context.output / "open_clip.json")})


def stages(ask, works):
    return {work: (lambda context, stage=stage: ask(context, stage)) for work, stage in works.items()}


NETWORKS = {"unet": "unet", "vae": "vae", "transformer": "transformer"}
LAUREL = Peer("laurel", find_laurel,
              stages(laurel, {**NETWORKS, "prdp": "prdp", "sampling": "sampling", "update": "PRDP update", "DRaFT step": "DRaFT step", "LCD step": "LCD step", "RG-LCD step": "RG-LCD step"}) |
              {"start": lambda context: without_text(run([context.laurel, "--version"], context.cores, environment(context), context.log("start"))),
               "sample": laurel_sample, "score": scoring(laurel_score)})
DIFFUSERS = Peer("diffusers", python_of,
                 stages(diffusers, {**NETWORKS, "prdp": "prdp", "sampling": "sampling", "update": "twopass", "DRaFT step": "draft", "LCD step": "lcd", "RG-LCD step": "rg-lcd"}) |
                 {"start": imports("torch", "diffusers", "transformers"), "sample": diffusers_sample}, NO_SCORES)
GRAPH = Peer("diffusers, the whole graph at once", python_of, stages(diffusers, {"update": "graph"}))
COMPILED = Peer("diffusers, torch.compile", python_of,
                stages(lambda context, stage: diffusers(context, stage, compiled=True), NETWORKS) | {"sample": lambda context: diffusers_sample(context, compiled=True)},
                {**NO_SCORES, "prdp": "is not asked for: gradient checkpointing and adapters change its graphs"})
OPENVINO = Peer("OpenVINO", install_openvino, stages(openvino, {"unet": "unet", "vae": "vae"}) | {"start": imports("openvino")},
                {**NO_TRAINING, **NO_SCORES, "transformer": "is not exported here", "sampling": "has no sampler of its own", "sample": "has no sampler of its own: that is another package"})
SDCPP = Peer("stable-diffusion.cpp", install_sdcpp,
             {"start": lambda context: without_text(run([sd_cli(context), "--version"], context.cores, environment(context), context.log("start"))),
              "unet": lambda context: sdcpp_part(context, "first step", "last step", context.sample_steps - 1),
              "vae": lambda context: sdcpp_part(context, "sampled", "decoded", 1), "sample": lambda context: without_text(sdcpp(context))},
             {**NO_TRAINING, **NO_SCORES, "transformer": "is not asked for", "sampling": "draws one image at a time"})
OPEN_CLIP = Peer("open_clip", python_of, {"start": imports("torch", "open_clip"), "score": scoring(open_clip_score("loop"))}, NO_NETWORKS)
LOADER = Peer("open_clip with a DataLoader", python_of, {"score": scoring(open_clip_score("loader"))})
PEERS = [LAUREL, DIFFUSERS, GRAPH, COMPILED, OPENVINO, SDCPP, OPEN_CLIP, LOADER]
