"""What came out of the runs of methods.py: tables, and gold against the square root of KL as a picture."""

import json
import math
import pathlib
import statistics
import types

import run_statistics as rs
import wider_evaluation

COLOURS = ["#1b6ca8", "#c0392b", "#27ae60", "#8e44ad", "#d35400", "#16a085", "#7f8c8d", "#2c3e50", "#e67e22", "#2980b9", "#c2185b", "#6d4c41",
           "#9e9d24", "#000000"]


def evaluations(run):
    lines = (pathlib.Path(run) / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line.get("evaluation")]


def figure(line, split, reward):
    """The weighted reward of an evaluation."""
    return sum(line[f"{split}/{name}"] * float(weight[0] if weight else 1) for name, *weight in (part.split("=") for part in reward.split(",")))


def within(run, reward):
    """Deviation of the weighted reward over the base's images of the evaluation."""
    return statistics.pstdev(rs.value_of(record["rewards"], reward) for record in rs.read_scores(pathlib.Path(run) / "samples" / "base").values())


def outcome(run, reward):
    """How far the trained reward rose on unseen captions, in deviations of the base, and the KL of the end."""
    lines = evaluations(run)
    rise = figure(lines[-1], "unseen", reward) - figure(lines[0], "unseen", reward)
    return {"unseen": rise / within(run, reward), "kl": lines[-1].get("seen/kl_nats", math.nan)}


def judged(options, method, seed_folders):
    """Folders with samples/base and samples/step-1 of each run on the wider captions."""
    place = options.output / "judged"
    wide = types.SimpleNamespace(laurel=options.laurel, output=place, captions=4 if options.quick else options.captions)
    (place / "base").mkdir(parents=True, exist_ok=True)
    wider_evaluation.rate(wide, place / "base", None)
    folders = []
    for run in seed_folders:
        folder = place / options.reward / options.budget / method / run.name
        (folder / "samples" / "step-1").mkdir(parents=True, exist_ok=True)
        wider_evaluation.rate(wide, folder / "samples" / "step-1", run / "unet")
        if not (folder / "samples" / "base").exists():
            (folder / "samples" / "base").symlink_to((place / "base").resolve())
        folders.append(folder)
    return folders


def verdict(run):
    file = pathlib.Path(run) / "guard.jsonl"
    return json.loads(file.read_text().splitlines()[-1])["state"] if file.exists() else "-"


def table(options, reward, costs):
    head = ["method", "trained seen", "trained unseen", "oracle seen", "oracle unseen", "social unseen", "KL", "diversity", "passes", "core-minutes", "guard"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for method, (passes, minutes) in costs.items():
        place = options.output / options.reward / options.budget / method
        runs = [run for run in sorted(place.glob("seed-*")) if (run / "done.json").exists()]
        folders = judged(options, method, runs)
        cells = [rs.cell(rs.bootstrap(folders, what, split)) for what, split in
                 ((reward, "seen"), (reward, "unseen"), ("oracle", "seen"), ("oracle", "unseen"), ("social", "unseen"))]
        ends = [evaluations(run) for run in runs]
        kl = statistics.fmean(lines_of[-1].get("seen/kl_nats", math.nan) for lines_of in ends)
        kept = statistics.fmean(lines_of[-1]["seen/diversity"] / lines_of[0]["seen/diversity"] for lines_of in ends)
        said = ", ".join(verdict(run) for run in runs)
        lines.append("| " + " | ".join([method, *cells, f"{kl:.1f}", f"{kept:.2f}", f"{passes:.0f}", f"{minutes:.1f}", said]) + " |")
    return "\n".join(lines)


def frontier(options, costs):
    """{method: [(square root of KL, mean change of the oracle)]} over the evaluations, mean over seeds, both splits."""
    points = {}
    for method in costs:
        runs = [run for run in sorted((options.output / options.reward / options.budget / method).glob("seed-*")) if (run / "done.json").exists()]
        by_step = {}
        for run in runs:
            lines = evaluations(run)
            for number, line in enumerate(lines):
                if "seen/kl_nats" not in line or "seen/oracle" not in line:
                    continue
                gold = statistics.fmean(line[f"{split}/oracle"] - lines[0][f"{split}/oracle"] for split in ("seen", "unseen"))
                by_step.setdefault(number, []).append((math.sqrt(max(0.0, line["seen/kl_nats"])), gold))
        points[method] = [tuple(map(statistics.fmean, zip(*some))) for _, some in sorted(by_step.items())]
    return {method: some for method, some in points.items() if len(some) > 1}


def picture(points):
    """An SVG: a line a method from the start, at the origin, to its end."""
    width, height, left, bottom = 760, 460, 70, 50
    far = max(x for some in points.values() for x, _ in some) * 1.05 or 1
    low = min(0.0, *(y for some in points.values() for _, y in some)) * 1.1 - 0.005
    high = max(0.0, *(y for some in points.values() for _, y in some)) * 1.1 + 0.005
    across = lambda x: left + x / far * (width - left - 120)
    down = lambda y: (high - y) / (high - low) * (height - bottom - 20) + 20
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
             f'<rect width="{width}" height="{height}" fill="white"/>',
             f'<line x1="{left}" y1="{down(0):.1f}" x2="{across(far):.1f}" y2="{down(0):.1f}" stroke="#bbb"/>',
             f'<text x="{width / 2 - 60:.0f}" y="{height - 12}">square root of KL (nats)</text>',
             f'<text x="16" y="{height / 2:.0f}" transform="rotate(-90 16 {height / 2:.0f})" text-anchor="middle">change of the oracle (share of claims)</text>']
    for i in range(6):
        x, y = far * i / 5, low + (high - low) * i / 5
        parts += [f'<text x="{across(x):.1f}" y="{height - bottom + 16}" text-anchor="middle">{x:.1f}</text>',
                  f'<text x="{left - 8}" y="{down(y) + 4:.1f}" text-anchor="end">{y:+.3f}</text>']
    placed = []
    for colour, (method, some) in zip(COLOURS, sorted(points.items(), key=lambda item: -item[1][-1][1])):
        line = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in some)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="3" fill="{colour}"/>' for x, y in some]
        label = max(down(some[-1][1]) + 4, placed[-1] + 15 if placed else 0)
        placed.append(label)
        parts.append(f'<text x="{width - 110}" y="{label:.1f}" fill="{colour}">{method}</text>')
    return "\n".join(parts + ["</svg>"]) + "\n"


def text(options, reward, costs):
    rows = table(options, reward, costs)
    drawn = options.output / f"gold-{options.reward}-{options.budget}.svg"
    points = frontier(options, costs)
    if points:
        drawn.write_text(picture(points))
    return (f"Trained: `{reward}`; budget: {options.budget}; changes from the base on {2 * options.captions} captions, mean [95 % interval] "
            f"(each seed's)\n\n{rows}\n\nGold against the square root of KL: {drawn if points else 'no evaluation has a KL'}")
