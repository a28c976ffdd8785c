"""The table of benchmarks/peers."""
import statistics


def model_name():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "an unknown processor")


def number(value):
    return f"{value:.3f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


def ranged(values, form=number):
    """Median and range."""
    middle = form(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({form(min(values))}-{form(max(values))})"


def processor(line):
    return line["figures"]["user"] + line["figures"]["system"]


def column(lines, name, form=number):
    values = [line["figures"].get(name) for line in lines]
    return "" if None in values else ranged(values, form)


def ratios(lines, others, value):
    """Round by round, where both have the round."""
    rounds = {line["key"]["round"]: value(line) for line in others}
    return [value(line) / rounds[line["key"]["round"]] for line in lines if rounds.get(line["key"]["round"])]


def row(work, name, lines, own):
    """own: laurel's lines of the work."""
    whole = "{:,.0f}".format
    cells = [work, name, column(lines, "wall"), ranged([processor(line) for line in lines]), column(lines, "system"), column(lines, "faults", whole), column(lines, "peak_mb", whole),
             column(lines, "above_mb", whole)]
    if lines is own or not own:
        return cells + ["", ""]
    times, share = ratios(lines, own, processor), ratios(own, lines, lambda line: line["figures"]["peak_mb"])
    two = "{:.2f}".format
    return cells + [ranged(times, two) if times else "", ranged(share, two) if share else ""]


def markdown(options, lines, empty):
    """lines: (work, peer) -> measured lines; empty: (peer, work) -> why there is no figure."""
    loads = [line["load"] for each in lines.values() for line in each]
    head = (f"{model_name()}, {options.shape} at {options.resolution} px, {options.precision}, {options.threads} thread{'s' if options.threads > 1 else ''} on "
            f"processor {', '.join(map(str, sorted(options.cores)))}, rounds: {options.rounds}, load {min(loads, default=0):.1f} to {max(loads, default=0):.1f}")
    titles = ["work", "program", "wall s", "processor s", "of it system", "page faults", "peak MB", "above the weights", "laurel is so many times as fast", "with so much of the memory"]
    rows = [titles, ["---"] * len(titles)]
    for work in options.only:
        own = lines.get((work, "laurel"), [])
        for name in [name for of, name in lines if of == work]:
            rows.append(row(work, name, lines[work, name], own))
        rows += [[work, name] + [""] * 8 for name, of in empty if of == work and (work, name) not in lines]
    notes = {}
    for (name, work), reason in empty.items():
        if work in options.only:
            notes.setdefault(f"{name}: {reason}", []).append(work)
    return head + "\n\n" + "\n".join("| " + " | ".join(cells) + " |" for cells in rows) + "\n\nEmpty rows:\n" + "".join(
        f"- {note} ({', '.join(works)})\n" for note, works in notes.items())
