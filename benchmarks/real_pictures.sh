#!/usr/bin/env bash
# A simulated person's taste, and a reward from a handful of pictures, on real photographs and drawings: the 796 stamps
# of Debian's tuxpaint-stamps-default, which is fetched by its name. Nothing of it is part of this repository.
#   benchmarks/real_pictures.sh FOLDER [LAUREL]       # FOLDER: of everything; what is there is not made again
# Needs what benchmarks/debian_pictures.sh needs.
set -euo pipefail
[ $# -ge 1 ] && [ $# -le 2 ] && [[ "$1" != -* ]] || { sed -n '2,5s/^# \?//p' "$0" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
laurel=$(realpath "${2:-$root/build/release/bin/laurel}")
mkdir -p "$1"
cd "$1"
export OMP_NUM_THREADS=1

"$root/benchmarks/debian_pictures.sh" tuxpaint-stamps-default pictures
echo "$(ls pictures/*.png | wc -l) pictures, $(ls pictures/*.txt | wc -l) captions"

under=aesthetic,brightness,colourfulness,saturation,contrast,warm_share,sharpness,offset_from_centre,symmetry,border_brightness,vignette
counts="40 160 320"
for person in 1 2 3; do
  votes=votes-$person
  [ -d "$votes" ] || "$laurel" world voter pictures --out "$votes" --person "$person" --seed "$person" --pairs 320 --held_out_pairs 300
  [ -d "truth-$person" ] || "$laurel" world voter pictures --out "truth-$person" --person "$person" --truth
  defined=()
  names=()
  for count in $counts; do
    head -n "$count" "$votes/choices.jsonl" > "$votes/first-$count.jsonl"
    [ -f "tastes/$person-$count/report.json" ] ||
      "$laurel" train-reward pairs --data "$votes/first-$count.jsonl" --rewards "$under" -o "tastes/$person-$count" > /dev/null
    defined+=(--define "taste$count=pairs:tastes/$person-$count")
    names+=("taste$count")
  done
  [ -f "$votes/agreement.jsonl" ] || "$laurel" eval-pairs "$votes/held-out.jsonl" "${defined[@]}" -o "$votes/agreement.jsonl" \
    --rewards "$(IFS=,; echo "${names[*]}"),aesthetic,brightness,colourfulness,contrast" > /dev/null
done

# Examples: twelve of a kind against all others, and the twelve that person 1 likes most among every second picture.
like() { # NAME: learns from like-NAME, rates all pictures
  [ -f "examples-$1/report.json" ] || "$laurel" train-reward examples --like "like-$1" --background "others-$1" -o "examples-$1" > /dev/null
  [ -f "like-$1.jsonl" ] || "$laurel" score pictures -r mine --define "mine=examples:examples-$1" --format jsonl -o "like-$1.jsonl" > /dev/null
}
/usr/bin/python3 - <<'PYTHON'
import json, os, pathlib, random

pictures = sorted(file.name for file in pathlib.Path("pictures").glob("*.png"))
def folder(name, files):
    place = pathlib.Path(name)
    if not place.exists():
        place.mkdir()
        for file in files:
            os.symlink(f"../pictures/{file}", place / file)
kinds = {"animals": "animals", "food": "food", "symbols": "symbols", "vehicles": "vehicles", "seasonal": "seasonal", "plants": "plants"}
for name, start in kinds.items():
    chosen = random.Random(0).sample([file for file in pictures if file.startswith(start + "-")], 12)
    # Every second picture of the others; the rest is what the reward is measured by.
    folder(f"like-{name}", chosen)
    folder(f"others-{name}", [file for file in pictures[::2] if not file.startswith(start + "-")])
taste = {pathlib.Path(line["file"]).name: line["taste"] for line in map(json.loads, open("truth-1/truth.jsonl"))}
half = pictures[::2]
best = sorted(half, key=lambda file: -taste[file])[:12]
folder("like-taste", best)
folder("others-taste", [file for file in half if file not in best])
PYTHON
for name in animals food symbols vehicles seasonal plants taste; do like "$name"; done

/usr/bin/python3 - <<'PYTHON'
import json, pathlib, statistics

def wilson(share, count):
    more = 3.8415 / count
    middle, half = (share + more / 2) / (1 + more), 1.96 / (1 + more) * (share * (1 - share) / count + more / 4 / count) ** 0.5
    return f"{100 * share:.1f} % [{100 * (middle - half):.1f}, {100 * (middle + half):.1f}]"

# Ties are no decided pairs ("imagereward" skips them).
print("\n| person | pairs | " + " | ".join(["taste of 40", "160", "320 answers", "aesthetic", "brightness", "colourfulness", "contrast"]) + " |")
print("|---" * 9 + "|")
for person in (1, 2, 3):
    found = [line for line in map(json.loads, open(f"votes-{person}/agreement.jsonl")) if line["definition"] == "imagereward"]
    print(f"| {person} | {found[0]['pairs']} | " + " | ".join(wilson(line["accuracy"], line["pairs"]) for line in found) + " |")

def ranks(values):
    order = sorted(range(len(values)), key=lambda i: values[i])
    found = [0.0] * len(values)
    for rank, i in enumerate(order):
        found[i] = rank
    return found

print()
pictures = sorted(file.name for file in pathlib.Path("pictures").glob("*.png"))
for name in ("animals", "food", "symbols", "vehicles", "seasonal", "plants"):
    score = {pathlib.Path(line["file"]).name: line["rewards"]["mine"] for line in map(json.loads, open(f"like-{name}.jsonl"))}
    liked = set(file.name for file in pathlib.Path(f"like-{name}").iterdir())
    same = [score[file] for file in pictures if file.startswith(name + "-") and file not in liked]
    other = [score[file] for file in pictures[1::2] if not file.startswith(name + "-")]
    auc = statistics.fmean((a > b) + 0.5 * (a == b) for a in same for b in other)
    print(f"examples of {name}: AUC {auc:.3f} on {len(same)} others of the kind and {len(other)} of other kinds; {json.load(open(f'examples-{name}/report.json'))['left_out_auc']}")
taste = {pathlib.Path(line["file"]).name: line["taste"] for line in map(json.loads, open("truth-1/truth.jsonl"))}
score = {pathlib.Path(line["file"]).name: line["rewards"]["mine"] for line in map(json.loads, open("like-taste.jsonl"))}
rest = pictures[1::2]
print(f"examples of person 1's taste: Spearman {statistics.correlation(ranks([score[f] for f in rest]), ranks([taste[f] for f in rest])):.3f} "
      f"on the {len(rest)} other pictures")
PYTHON
