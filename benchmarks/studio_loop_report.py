"""What came out of the cells of studio_loop.py: tables, and the chart as SVG."""

import math
import random
import statistics

import run_statistics as rs

Z = 1.959963984540054  # of 95 %


def wilson(right, count):
    share, more = right / count, Z * Z / count
    middle, half = (share + more / 2) / (1 + more), Z / (1 + more) * math.sqrt(share * (1 - share) / count + more / (4 * count))
    return share, middle - half, middle + half


def percent(interval):
    return "{:.1f} % [{:.1f}, {:.1f}]".format(*(100 * value for value in interval))


def chosen(cells, kind, arm, votes, method=""):
    found = [cell for cell in cells if (cell["cell"]["kind"], cell["cell"]["arm"], cell["cell"]["votes"], cell["cell"]["method"]) ==
             (kind, arm, votes, method)]
    return sorted(found, key=lambda cell: cell["cell"]["seed"])


def pooled(some, what, name):
    """Wilson's interval of all seeds' pairs together."""
    return wilson(sum(cell[what][name][0] for cell in some), sum(cell[what][name][1] for cell in some))


def each(some, what, name):
    return ", ".join(f"{100 * cell[what][name][0] / cell[what][name][1]:.0f}" for cell in some)


def head_table(cells, counts, main, generic):
    lines = ["| predicted by | votes | person's held-out answers (each seed) | taste without noise (each seed) |", "|---|---|---|---|"]
    row = lambda label, votes, some, name: lines.append(
        f"| {label} | {votes} | {percent(pooled(some, 'held_out', name))} ({each(some, 'held_out', name)}) | "
        f"{percent(pooled(some, 'without_noise', name))} ({each(some, 'without_noise', name)}) |")
    base = chosen(cells, "head", "own", main)
    for name in generic:
        row(f"`{name}`", 0, base, name)
    for count in counts:
        some = chosen(cells, "head", "own", count)
        if some:
            row("the taste", count, some, "taste")
    for arm, label in (("shuffled", "answers shuffled"), ("other", "another person's answers")):
        some = chosen(cells, "head", arm, main)
        if some:
            row(label, main, some, "taste")
    ceiling = wilson(sum(cell["ceiling"][0] for cell in base), sum(cell["ceiling"][1] for cell in base))
    lines.append(f"| the taste without noise (the most that is possible) | - | {percent(ceiling)} | 100 % |")
    return "\n".join(lines)


def proof_interval(some, what, draws=2000):
    """The share's mean over seeds, its interval by a bootstrap over seeds and captions, and each seed's share."""
    tables = [cell["proof"][what] for cell in some]
    of_run = [statistics.fmean(table.values()) for table in tables]
    generator, sampled = random.Random(0), []
    for _ in range(draws):
        sampled.append(rs.resampled_mean(tables, generator.choices(range(len(tables)), k=len(tables)), generator))
    return rs.summary(of_run, statistics.fmean(of_run), sampled, 0.95)


def control_table(cells, main, cheapest):
    """The share with own answers less that with a control's, paired by seed and caption."""
    lines = ["| own answers less | by the person | without noise | seeds |", "|---|---|---|---|"]
    for arm in ("shuffled", "other"):
        of = {cell["cell"]["seed"]: cell for cell in chosen(cells, "run", arm, main, cheapest)}
        own = [cell for cell in chosen(cells, "run", "own", main, cheapest) if cell["cell"]["seed"] in of]
        if not own:
            continue
        found = []
        for what in ("person", "without_noise"):
            pairs = [{name: share - of[cell["cell"]["seed"]]["proof"][what][name] for name, share in cell["proof"][what].items()} for cell in own]
            interval = proof_interval([{"proof": {what: pair}} for pair in pairs], what)
            found.append("{:+.1f} [{:+.1f}, {:+.1f}] points".format(*(100 * interval[key] for key in ("mean", "low", "high"))))
        lines.append(f"| {ARMS[arm]} | {found[0]} | {found[1]} | {len(own)} |")
    return "\n".join(lines)


def share_cell(some, what):
    found = proof_interval(some, what)
    seeds = ", ".join(f"{100 * value:.0f}" for value in found["runs"])
    return f"{percent((found['mean'], found['low'], found['high']))} ({seeds})"


def change(some, name):
    """Mean change of a rating of the proof's pictures from the base's."""
    return statistics.fmean(cell["change"][name] for cell in some)


def taste_gain(some):
    """Mean change of the taste, in deviations of the base's pictures."""
    gains = []
    for cell in some:
        base, tuned = cell["proof"]["taste"]["base"], cell["proof"]["taste"]["tuned"]
        gains.append((statistics.fmean(tuned.values()) - statistics.fmean(base.values())) / statistics.pstdev(base.values()))
    return statistics.fmean(gains)


ARMS = {"own": "", "shuffled": "answers shuffled", "other": "another person's answers", "generic": "`aesthetic` in place of a taste"}


def rows_of_proofs(cells, counts, main, cheapest):
    found = [("own", main, method) for method in ("draft", "prdp", "dpo")]
    found += [("own", count, cheapest) for count in counts if count != main]
    found += [("generic", 0, cheapest), ("shuffled", main, cheapest), ("other", main, cheapest)]
    for arm, votes, method in found:
        some = chosen(cells, "run", arm, votes, method)
        if some:
            yield arm, votes, method, some


def proof_table(cells, counts, main, cheapest):
    lines = ["| method | votes | what | by the person (each seed) | without noise (each seed) | taste, deviations | KL, nats | diversity kept | "
             "oracle | social | training, s | guard |", "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for arm, votes, method, some in rows_of_proofs(cells, counts, main, cheapest):
        kl = [cell["kl"] for cell in some if cell["kl"] is not None]
        said = ", ".join(str(cell["guard"]["state"]) for cell in some)
        lines.append(f"| {method} | {votes} | {ARMS[arm] or 'own answers'} | {share_cell(some, 'person')} | {share_cell(some, 'without_noise')} | "
                     f"{taste_gain(some):+.2f} | {statistics.fmean(kl) if kl else math.nan:.0f} | "
                     f"{statistics.fmean(cell['diversity'] for cell in some):.2f} | {change(some, 'oracle'):+.3f} | {change(some, 'social'):+.2f} | "
                     f"{statistics.fmean(cell['seconds'] for cell in some):.0f} | {said} |")
    return "\n".join(lines)


def seed_table(cells, main):
    """Wilson's interval of each seed's answers at the main number of votes."""
    lines = ["| method | " + " | ".join(f"seed {seed}" for seed in sorted({cell['cell']['seed'] for cell in cells})) + " |"]
    lines.append("|---" * (lines[0].count("|") - 1) + "|")
    for method in ("draft", "prdp", "dpo"):
        some = chosen(cells, "run", "own", main, method)
        if some:
            shares = [wilson(sum(cell["proof"]["person"].values()), len(cell["proof"]["person"])) for cell in some]
            lines.append(f"| {method} | " + " | ".join(map(percent, shares)) + " |")
    return "\n".join(lines)


def text(cells, counts, main, cheapest, generic):
    seconds = sum(cell["cell_seconds"] for cell in cells)
    return "\n\n".join([head_table(cells, counts, main, generic), proof_table(cells, counts, main, cheapest),
                        control_table(cells, main, cheapest), seed_table(cells, main),
                        f"{len(cells)} cells, {seconds / 60:.0f} minutes of one process"])


class Panel:
    """Axes of a chart: votes on a logarithmic scale against a share."""

    def __init__(self, left, title, counts, low, high):
        self.left, self.top, self.width, self.height = left, 60, 360, 300
        self.counts, self.low, self.high, self.parts = counts, low, high, []
        self.parts.append(f'<text x="{left}" y="36" font-weight="bold">{title}</text>')
        for tick in range(round(low * 10), round(high * 10) + 1):
            y = self.y(tick / 10)
            self.parts += [f'<line x1="{left}" y1="{y:.1f}" x2="{left + self.width}" y2="{y:.1f}" stroke="{"#888" if tick == 5 else "#ddd"}"/>',
                           f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{10 * tick} %</text>']
        for count in counts:
            self.parts.append(f'<text x="{self.x(count):.1f}" y="{self.top + self.height + 20}" text-anchor="middle">{count}</text>')
        self.parts.append(f'<text x="{left + self.width / 2}" y="{self.top + self.height + 42}" text-anchor="middle">votes</text>')

    def x(self, votes):
        first, last = math.log2(self.counts[0]), math.log2(self.counts[-1])
        return self.left + 30 + (self.width - 60) * (math.log2(votes) - first) / (last - first)

    def y(self, share):
        return self.top + self.height * (self.high - share) / (self.high - self.low)

    def point(self, votes, interval, colour):
        share, low, high = interval
        x, y = self.x(votes), self.y(share)
        self.parts.append(f'<line x1="{x:.1f}" y1="{self.y(low):.1f}" x2="{x:.1f}" y2="{self.y(high):.1f}" stroke="{colour}" stroke-width="2"/>')
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>')

    def line(self, points, colour):
        path = " ".join(f"{self.x(votes):.1f},{self.y(share):.1f}" for votes, share in points)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')

    def level(self, share, colour, label):
        y = self.y(share)
        right = self.left + self.width
        self.parts += [f'<line x1="{self.left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{colour}" stroke-dasharray="5 4"/>',
                       f'<text x="{right + 6}" y="{y + 4:.1f}" fill="{colour}">{label}</text>']


def head_panel(cells, counts, main, generic):
    panel = Panel(60, "Held-out answers predicted", counts, 0.4, 0.9)
    base, placed = chosen(cells, "head", "own", main), []
    rewards = sorted(((pooled(base, "held_out", name)[0], name) for name in generic), reverse=True)[:3]
    ceiling = wilson(sum(cell["ceiling"][0] for cell in base), sum(cell["ceiling"][1] for cell in base))[0]
    panel.level(ceiling, "#555", "taste without noise")
    for share, name in rewards:
        if all(abs(panel.y(share) - y) > 14 for y in placed):
            panel.level(share, "#c2185b", name)
            placed.append(panel.y(share))
    points = [(count, pooled(chosen(cells, "head", "own", count), "held_out", "taste")) for count in counts if chosen(cells, "head", "own", count)]
    panel.line([(count, interval[0]) for count, interval in points], "#1b6ca8")
    for count, interval in points:
        panel.point(count, interval, "#1b6ca8")
    return panel.parts


def proof_panel(cells, counts, main, cheapest):
    """A row for each arm: the share that prefers the tuned picture, by the person and without noise."""
    left, top, width, low, high = 800, 60, 380, 0.3, 1.0
    x = lambda share: left + width * (share - low) / (high - low)
    rows = list(rows_of_proofs(cells, counts, main, cheapest))
    bottom = top + 300
    parts = ['<text x="640" y="36" font-weight="bold">Tuned preferred to base, blind</text>']
    for tick in range(3, 11):
        parts += [f'<line x1="{x(tick / 10):.1f}" y1="{top}" x2="{x(tick / 10):.1f}" y2="{bottom}" stroke="{"#888" if tick == 5 else "#ddd"}"/>',
                  f'<text x="{x(tick / 10):.1f}" y="{bottom + 20}" text-anchor="middle">{10 * tick} %</text>']
    for row, (arm, votes, method, some) in enumerate(rows):
        y = top + 300 * (row + 0.5) / len(rows)
        label = f"{method}, {votes} votes" + {"shuffled": " shuffled", "other": " of another", "generic": ": aesthetic"}.get(arm, "")
        parts.append(f'<text x="{left - 10}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
        for what, colour, shift in (("person", "#1b6ca8", -4), ("without_noise", "#27ae60", 4)):
            found = proof_interval(some, what)
            at, ends = y + shift, [x(found[end]) for end in ("low", "high")]
            parts += [f'<line x1="{ends[0]:.1f}" y1="{at:.1f}" x2="{ends[1]:.1f}" y2="{at:.1f}" stroke="{colour}" stroke-width="2"/>',
                      f'<circle cx="{x(found["mean"]):.1f}" cy="{at:.1f}" r="4" fill="{colour}"/>']
    for place, (colour, label) in zip((640, 780), (("#1b6ca8", "by the person"), ("#27ae60", "by the taste without noise"))):
        parts += [f'<circle cx="{place}" cy="{bottom + 44}" r="5" fill="{colour}"/>', f'<text x="{place + 12}" y="{bottom + 48}">{label}</text>']
    return parts


def chart(cells, counts, main, cheapest, generic):
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1200 420" width="1200" height="420" font-family="sans-serif" font-size="13">',
             '<rect width="1200" height="420" fill="white"/>', *head_panel(cells, counts, main, generic), *proof_panel(cells, counts, main, cheapest)]
    return "\n".join(parts + ["</svg>"]) + "\n"
