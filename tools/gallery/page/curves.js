// Every metric over the steps: small multiples that share one cursor.

const kHeight = 168, kLeft = 46, kRight = 12, kTop = 10, kBottom = 22;
const curves = { smoothing: 0.6, query: "", hidden: new Set(), at: null, panels: [] };

// "seen/aesthetic" -> its panel and the kind of its line.
function metricKind(name) {
  const match = /^(seen|unseen|train)\/(.+)$/.exec(name);
  return match ? { kind: match[1], panel: match[2].replace(/^rewards?\//, "") } : { kind: "train", panel: name.replace(/^rewards?\//, "") };
}

function metricPanels() {
  const panels = new Map();
  for (const series of data.metrics) {
    const { kind, panel } = metricKind(series.name);
    if (!panels.has(panel)) panels.set(panel, []);
    panels.get(panel).push({ ...series, kind });
  }
  const rank = (name) => { const at = rewards.indexOf(name); return at < 0 ? (panels.get(name).some((series) => series.kind !== "train") ? 1000 : 2000) : at; };
  return [...panels].sort((a, b) => rank(a[0]) - rank(b[0])).map(([name, lines]) => ({ name, lines }));
}

function smoothed(values, weight) {
  let level = null, total = 0;
  return values.map((value) => {
    if (value === null) return null;
    level = (level ?? 0) * weight + value * (1 - weight);
    total = total * weight + (1 - weight);
    return level / total;
  });
}

// At most two points a pixel: the lowest and the highest of each stretch.
function thinned(points, width) {
  if (points.length <= 2 * width) return points;
  const size = points.length / width;
  const kept = [];
  for (let k = 0; k < width; k++) {
    const part = points.slice(Math.floor(k * size), Math.floor((k + 1) * size));
    const low = part.reduce((a, b) => (b[1] < a[1] ? b : a)), high = part.reduce((a, b) => (b[1] > a[1] ? b : a));
    kept.push(...(low[0] < high[0] ? [low, high] : [high, low]));
  }
  return kept;
}

const lineClass = (series) => `line kind-${series.kind} run-${series.run % 6}` + (runs.length > 1 ? " many" : "");
const lineName = (series) => (runs.length > 1 ? runs[series.run].name + " " : "") + (series.kind === "train" ? "training" : series.kind);

function panelScale(panel, width) {
  const lines = panel.lines.filter((series) => !curves.hidden.has(series.kind) && !curves.hidden.has("run" + series.run));
  const ys = lines.flatMap((series) => series.values).filter((value) => value !== null);
  const xs = data.metrics.flatMap((series) => [series.steps[0], series.steps.at(-1)]);
  let low = Math.min(...ys), high = Math.max(...ys);
  if (!ys.length) { low = 0; high = 1; }
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  low -= room; high += room;
  const first = Math.min(...xs), last = Math.max(...xs);
  return { lines, low, high, first, last,
           x: (step) => kLeft + (width - kLeft - kRight) * (step - first) / (last - first || 1),
           step: (x) => first + (x - kLeft) / (width - kLeft - kRight) * (last - first),
           y: (value) => kTop + (kHeight - kTop - kBottom) * (high - value) / (high - low) };
}

function panelSvg(panel, width) {
  const scale = panelScale(panel, width);
  panel.scale = scale;
  const root = svg("svg", { width, height: kHeight, "aria-hidden": "true" });
  for (const value of ticks(scale.low, scale.high, 3)) {
    root.append(svg("line", { class: "rule", x1: kLeft, x2: width - kRight, y1: scale.y(value), y2: scale.y(value) }));
    const label = svg("text", { class: "tick", x: kLeft - 7, y: scale.y(value) + 3.5, "text-anchor": "end" });
    label.textContent = tickText(value);
    root.append(label);
  }
  for (const value of ticks(scale.first, scale.last, Math.max(2, width / 90))) {
    const label = svg("text", { class: "tick", x: scale.x(value), y: kHeight - 5, "text-anchor": "middle" });
    label.textContent = tickText(value);
    root.append(label);
  }
  for (const series of scale.lines) root.append(...seriesShapes(series, scale, width));
  panel.cursor = svg("g", { class: "cursor" });
  root.append(panel.cursor);
  return root;
}

function seriesShapes(series, scale, width) {
  const path = (values) => thinned(series.steps.map((step, k) => [step, values[k]]).filter((point) => point[1] !== null), width)
    .map(([step, value], k) => (k ? "L" : "M") + scale.x(step).toFixed(1) + " " + scale.y(value).toFixed(1)).join("");
  if (series.kind === "train" && curves.smoothing > 0 && series.steps.length > 8) {
    return [svg("path", { class: lineClass(series) + " raw", d: path(series.values) }),
            svg("path", { class: lineClass(series), d: path(smoothed(series.values, curves.smoothing)) })];
  }
  const shapes = [svg("path", { class: lineClass(series), d: path(series.values) })];
  if (series.kind !== "train" && series.steps.length < 60) {
    series.values.forEach((value, k) => value !== null && shapes.push(svg("circle", { class: lineClass(series) + " dot", r: 2.6, cx: scale.x(series.steps[k]), cy: scale.y(value) })));
  }
  return shapes;
}

function nearestIndex(steps, step) {
  return steps.reduce((best, value, k) => (Math.abs(value - step) < Math.abs(steps[best] - step) ? k : best), 0);
}

// The cursor of all panels at one step; null takes it away and shows the last values.
function setCursor(step) {
  curves.at = step;
  for (const panel of curves.panels) {
    if (!panel.scale) continue;
    panel.cursor.replaceChildren();
    if (step !== null) panel.cursor.append(svg("line", { x1: panel.scale.x(step), x2: panel.scale.x(step), y1: kTop, y2: kHeight - kBottom }));
    const entries = panel.scale.lines.map((series) => {
      const k = step === null ? series.values.length - 1 : nearestIndex(series.steps, step);
      const value = series.values[k];
      if (step !== null && value !== null) panel.cursor.append(svg("circle", { class: lineClass(series) + " dot", r: 3.5, cx: panel.scale.x(series.steps[k]), cy: panel.scale.y(value) }));
      return el("span", { class: lineClass(series) }, el("i"), lineName(series) + " ", el("b", {}, number(value, decimalsFor(series.values))));
    });
    panel.readout.replaceChildren(...entries);
  }
  $("curve-step").textContent = step === null ? "" : "step " + Math.round(step).toLocaleString("en");
}

function drawPanels() {
  const box = $("panels");
  const words = curves.query.toLowerCase();
  curves.panels = metricPanels().filter((panel) => panel.name.toLowerCase().includes(words) && panel.lines.some((series) => !curves.hidden.has(series.kind) && !curves.hidden.has("run" + series.run)));
  for (const panel of curves.panels) {
    panel.readout = el("p", { class: "readout" });
    panel.figure = el("figure", { class: "panel", tabindex: "0", "aria-label": panel.name + ": " + panel.lines.map((series) =>
      `${lineName(series)} ${number(series.values[0], 3)} to ${number(series.values.at(-1), 3)}`).join(", ") },
      el("figcaption", {}, el("h3", {}, panel.name), panel.readout));
  }
  box.replaceChildren(...curves.panels.map((panel) => panel.figure));
  for (const panel of curves.panels) {
    panel.figure.append(panelSvg(panel, Math.floor(panel.figure.clientWidth - 24)));
    panel.figure.addEventListener("pointermove", (event) => {
      const box = panel.figure.querySelector("svg").getBoundingClientRect();
      setCursor(clamp(panel.scale.step(event.clientX - box.left), panel.scale.first, panel.scale.last));
    });
    panel.figure.addEventListener("pointerleave", () => setCursor(null));
    panel.figure.addEventListener("keydown", (event) => moveCurveCursor(event, panel));
  }
  setCursor(null);
}

function moveCurveCursor(event, panel) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by) return;
  const steps = [...new Set(panel.scale.lines.flatMap((series) => series.steps))].sort((a, b) => a - b);
  const now = curves.at === null ? (by > 0 ? -1 : steps.length) : nearestIndex(steps, curves.at);
  setCursor(steps[clamp(now + by, 0, steps.length - 1)]);
  event.preventDefault();
  event.stopPropagation();
}

function drawCurves() {
  const view = $("view-curves");
  if (view.childElementCount) { drawPanels(); return; }
  const kinds = [...new Set(data.metrics.map((series) => metricKind(series.name).kind))];
  const toggle = (key, label, classes) => el("label", { class: "check key " + classes }, el("input", { type: "checkbox", checked: true, onchange: (event) => {
    if (event.target.checked) curves.hidden.delete(key); else curves.hidden.add(key);
    drawPanels();
  } }), el("i"), label);
  const filter = el("input", { type: "search", placeholder: "Metric", "aria-label": "Find a metric", oninput: (event) => { curves.query = event.target.value; drawPanels(); } });
  const smooth = el("input", { type: "range", min: 0, max: 0.95, step: 0.05, value: curves.smoothing, oninput: (event) => { curves.smoothing = Number(event.target.value); drawPanels(); } });
  view.append(el("div", { class: "view-head" }, el("h1", {}, "Curves"), el("p", { class: "subtitle" }, "Training and evaluation over the steps; hold the pointer over a curve to read it.")),
    el("div", { class: "bar" }, el("label", { class: "field" }, filter), el("label", { class: "field" }, el("span", {}, "Smooth training"), smooth),
      ...(kinds.length > 1 ? kinds.map((kind) => toggle(kind, kind === "train" ? "training" : kind, `line kind-${kind} run-0`)) : []),
      ...(runs.length > 1 ? runs.map((run, k) => toggle("run" + k, run.name, `line many kind-train run-${k % 6}`)) : []),
      el("output", { id: "curve-step", class: "shown" })),
    el("div", { id: "panels", class: "panels" }));
  drawPanels();
  let width = innerWidth;
  addEventListener("resize", () => { if (state.view === "curves" && innerWidth !== width) { width = innerWidth; drawPanels(); } });
}
