"""The commands in fenced blocks of README.md and docs/*.md, and how check_pages runs each of them."""
import dataclasses, re, shlex, shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOT_RUN = re.compile(r"<!-- not run: (.+) -->")  # before a block: none of it is run, for this reason
PROGRAMS = "laurel|torchrun|srun|mpirun|tools/|tests/|benchmarks/|cmake|cd|podman|exiftool|cat|printf|source|python3|build/"
LAUNCHER = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:(?:torchrun|srun|mpirun)\b.*?(?= laurel ) )?laurel ")


@dataclasses.dataclass
class Shown:
    page: str
    line: int
    text: str
    marked: str = ""  # the page's reason not to run it

    def words(self):
        """Those of its laurel command, without what stands before it and after a pipe; none: another program."""
        start = LAUNCHER.match(self.text)
        if not start:
            return []
        lexer = shlex.shlex(self.text[start.end():], posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split, lexer.commenters = True, ""
        words = []
        for word in lexer:
            if word and word[0] in "|&;<>":
                break
            words.append(word)
        return words


def pages():
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def without_comment(line):
    """A shell comment begins at a # behind white space, outside quotes."""
    quote = ""
    for i, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and (i == 0 or line[i - 1].isspace()):
            return line[:i].rstrip()
    return line.rstrip()


def commands_of(page):
    """In order. A line of a block that names no program is output, or text, and no command. A here-document belongs to
    its command."""
    inside, marked, gathered, begun = False, "", None, ""
    for number, line in enumerate(page.read_text().splitlines(), 1):
        line, begun = begun + (line.lstrip() if begun else line), ""
        if inside and line.endswith("\\"):
            begun = line[:-1]
            continue
        mark = NOT_RUN.fullmatch(line.strip())
        if mark:
            marked = mark.group(1)
        elif line.startswith("```"):
            inside = not inside
            marked = marked if inside else ""
        elif gathered:
            gathered.text += "\n" + line
            if line == gathered.end:
                yield gathered
                gathered = None
        elif inside and re.match(rf"(?:[A-Z_]+=\S* )*\$?\(?(?:{PROGRAMS})", line):
            shown = Shown(str(page.relative_to(ROOT)), number, without_comment(line), marked)
            here = re.search(r"<<'(\w+)'", line)
            if here:
                gathered, gathered.end = shown, here.group(1)
            else:
                yield shown


SMALL_RUN = ("--num_epochs 1 --prompts_per_epoch 2 --images_per_prompt 2 --sample_num_steps 2 --prompts_per_update 0 "
             "--eval_prompts 1 --eval_images 1 --max_train_prompts 4")
SMALL_STEPS = "--max_train_steps 1 --train_batch_size 2 --eval_prompts 0"
SMALL_SAMPLE = "-n 1 --steps 2"

# How a command is run, by what it begins with; the first that fits. `more`: options behind those of the page, so that it
# takes a second or less. `not_run`: why its options alone are checked. `serves`: it is ended as soon as it listens;
# `answers`: and so many pairs of its page were answered.
@dataclasses.dataclass
class Way:
    start: str
    more: str = ""
    not_run: str = ""
    serves: bool = False
    answers: int = 0


WAYS = [
    Way(r"(?:.* )?(?:torchrun|srun|mpirun) ", not_run="a launcher of several processes, which need not be installed"),
    Way(r"RANK=0 ", not_run="two processes by hand: process_group_test and run_in_ranks_test do it"),
    Way(r"laurel (?:sample|edit) .*-o (?:drawn/(?:euler|euler_a|heun|dpm\+\+2m|unipc|teacher/4|student/[21])|edited/[31])$",
        not_run="differs from the command above it by one value alone"),
    Way(r"laurel sample --prompts prompts.txt --best-of", more="--steps 2"),
    Way(r"laurel sample --prompts prompts.txt -n", more="-n 5 --steps 2"),
    Way(r"laurel sample .*--output-dir candidates", more="--steps 2"),
    Way(r"(?:LAUREL_PROFILE=1 )?laurel sample", more=SMALL_SAMPLE),
    Way(r"laurel finetune edit .*--dry_run", more="--max_train_steps 1"),
    Way(r"laurel finetune edit", more=SMALL_STEPS + " --held_out 2"),
    Way(r"laurel finetune draft .*mine=pairs", more="--max_train_steps 1 --train_batch_size 2 --sample_num_steps 2 "
        "--eval_prompts 1 --eval_images 1"),
    Way(r"laurel finetune distill-cfg", more="--num_epochs 1 --prompts_per_epoch 2 --images_per_prompt 3 --sample_num_steps 2 "
        "--eval_prompts 0"),
    Way(r"laurel finetune .*--(?:dry_run|max_memory)", more="--num_epochs 1 --prompts_per_epoch 2 --images_per_prompt 2 "
        "--sample_num_steps 2 --eval_prompts 0"),
    Way(r"laurel finetune (?:dpo|ipo|kto|simpo) --pairs", more="--max_train_steps 1 --sample_num_steps 2 --eval_prompts 0"),
    Way(r"laurel finetune (?:raft|rwr|nft|dpo|ipo|kto|simpo)", more="--num_epochs 1 --prompts_per_epoch 2 "
        "--images_per_prompt 2 --sample_num_steps 2 --num_inner_epochs 1 --eval_prompts 0 --max_train_prompts 4"),
    Way(r"laurel finetune draft", more="--max_train_steps 1 --train_batch_size 2 --sample_num_steps 2 --eval_prompts 0"),
    Way(r"laurel finetune .*--primary_share", more=SMALL_RUN.replace("--images_per_prompt 2", "--images_per_prompt 8")),
    Way(r"laurel finetune .*--branch", more=SMALL_RUN.replace("--images_per_prompt 2", "--images_per_prompt 8")
        .replace("--sample_num_steps 2", "--sample_num_steps 7")),
    Way(r"laurel finetune", more=SMALL_RUN),
    Way(r"laurel distill .*--dry_run"),
    Way(r"laurel distill", more=SMALL_STEPS + " --images 8 --num_ddim_timesteps 10 --reward_batch_size 2"),
    Way(r"laurel pretrain vae", more="--max_train_steps 1 --train_batch_size 2 --block_out_channels 16 "
        "--block_out_channels 32 --norm_num_groups 8"),
    Way(r"laurel pretrain clip", more="--max_train_steps 1 --train_batch_size 2 --width 32 --num_attention_heads 2 "
        "--intermediate_size 64 --text_layers 1 --vision_layers 1 --exam_size 8"),
    Way(r"laurel world --count 240"),
    Way(r"laurel world edit-scores", not_run="needs the images of an editing model; tests/tools/world runs it"),
    Way(r"laurel world edits", more="--count 6"),
    Way(r"laurel world voter"),
    Way(r"laurel world --check", more="--count 20"),
    Way(r"laurel world", more="--count 12"),
    Way(r"laurel edit .*--sweep", more="--steps 1 --size 32x32"),
    Way(r"laurel edit", more="--steps 1"),
    Way(r"laurel vote pictures --store", more="--port 0 --no-learning", serves=True, answers=24),
    Way(r"laurel (?:vote|studio) (?!.*--(?:check|backup|export|import))", more="--port 0", serves=True),
    Way(r"laurel train-reward (?:lvlm|social)", more="--epochs 1"),
    Way(r"laurel train-reward aesthetic --members", more="--images 100 --held_out 20 --epochs 1"),
    Way(r"laurel train-reward value", more="--max_prompts 4 --chains 2 --steps 2 --max_train_steps 2"),
    Way(r"laurel bench-rewards", more="--count 2"),
    Way(r"laurel bench", not_run="measures for a minute; tests/tools/bench and benchmarks/gpu run its stages"),
    Way(r"laurel "),
    Way(r"tools/(?:demo|setup|check|package)", not_run="installs, builds or tests everything"),
    Way(r"tools/emoji", not_run="needs Debian's fonts-noto-color-emoji"),
    Way(r"(?:cd build/release && )?(?:cmake|cpack)|cd build", not_run="builds: CI does it"),
    Way(r"podman", not_run="needs podman and the network"),
    Way(r"exiftool", not_run="needs exiftool; digital_source_test reads the same bytes"),
    Way(r"(?:\$\(tools/python-reference\) )?benchmarks/|tests/fuzz", not_run="runs for minutes to hours"),
    Way(r"source <\("),
    Way(r"build/release/bin/laurel man", not_run="" if shutil.which("man") else "needs man-db; a test reads the pages"),
    Way(r"cat |printf |python3 - "),
]


RECORD = "records an experiment of minutes to hours"


def way_of(shown):
    if shown.page.startswith("docs/results"):
        return Way("", not_run=RECORD)
    for way in WAYS:
        if re.match(way.start, shown.text):
            return dataclasses.replace(way, not_run=shown.marked or way.not_run)
    raise KeyError(f"{shown.page}:{shown.line}: no way in page_commands.WAYS fits `{shown.text}`")
