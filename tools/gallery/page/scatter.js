// Reward against reward. A rectangle drawn on it selects images; four numbers do the same from the keyboard.

const scatter = { x: 0, y: 0, axes: [], area: null, drag: null, lines: false };

function scatterAxes() {
  const axes = rewards.map((name) => ({ label: name, places: decimals[name], of: (item, set) => score(name, imageAt[set][item]) }));
  if (!bothSets) return axes;
  return axes.concat(rewards.map((name) => ({ label: name + ", change", places: decimals[name], of: (item, set) => (set === state.b ? change(name, item) : null) })));
}

// What the canvas shows: [{item, set, x, y}], and the scales.
function scatterPoints() {
  const ax = scatter.axes[scatter.x], ay = scatter.axes[scatter.y];
  const points = [];
  for (const set of paired() ? [state.a, state.b] : [state.b]) {
    for (let item = 0; item < itemCount; item++) {
      const x = ax.of(item, set), y = ay.of(item, set);
      if (x !== null && y !== null) points.push({ item, set, x, y });
    }
  }
  return points;
}

function extent(values) {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!Number.isFinite(low)) return [0, 1];
  const room = (high - low || Math.abs(high) || 1) * 0.05;
  return [low - room, high + room];
}

function drawScatterCanvas() {
  const canvas = $("scatter-canvas");
  const width = canvas.parentElement.clientWidth, height = clamp(width * 0.72, 280, 620);
  const ratio = devicePixelRatio || 1;
  canvas.width = width * ratio; canvas.height = height * ratio;
  canvas.style.height = height + "px";
  const [x0, x1] = extent(scatter.points.map((point) => point.x)), [y0, y1] = extent(scatter.points.map((point) => point.y));
  const pad = { left: 54, right: 14, top: 14, bottom: 42 };
  scatter.to = { x: (v) => pad.left + (width - pad.left - pad.right) * (v - x0) / (x1 - x0), y: (v) => height - pad.bottom - (height - pad.top - pad.bottom) * (v - y0) / (y1 - y0) };
  scatter.from = { x: (p) => x0 + (p - pad.left) / (width - pad.left - pad.right) * (x1 - x0), y: (p) => y0 + (height - pad.bottom - p) / (height - pad.top - pad.bottom) * (y1 - y0) };
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  drawAxes(pen, { width, height, pad, x0, x1, y0, y1 });
  drawPoints(pen);
  drawArea(pen);
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function drawAxes(pen, { width, height, pad, x0, x1, y0, y1 }) {
  pen.font = "12px " + getComputedStyle(document.body).fontFamily;
  pen.strokeStyle = colour("--line"); pen.fillStyle = colour("--ink-2");
  pen.textAlign = "center";
  for (const value of ticks(x0, x1, width / 110)) {
    pen.beginPath(); pen.moveTo(scatter.to.x(value), pad.top); pen.lineTo(scatter.to.x(value), height - pad.bottom); pen.stroke();
    pen.fillText(tickText(value), scatter.to.x(value), height - pad.bottom + 17);
  }
  pen.textAlign = "right";
  for (const value of ticks(y0, y1, height / 80)) {
    pen.beginPath(); pen.moveTo(pad.left, scatter.to.y(value)); pen.lineTo(width - pad.right, scatter.to.y(value)); pen.stroke();
    pen.fillText(tickText(value), pad.left - 8, scatter.to.y(value) + 4);
  }
  pen.fillStyle = colour("--ink");
  pen.fillText(scatter.axes[scatter.x].label + " →", width - pad.right, height - 6);
  pen.textAlign = "left";
  pen.fillText("↑ " + scatter.axes[scatter.y].label, pad.left + 6, pad.top + 10);
}

function drawPoints(pen) {
  const radius = scatter.points.length > 2000 ? 2.2 : scatter.points.length > 500 ? 3 : 4;
  if (scatter.lines) {
    const first = new Map(scatter.points.filter((point) => point.set === state.a).map((point) => [point.item, point]));
    pen.strokeStyle = colour("--ink-3"); pen.globalAlpha = 0.35; pen.beginPath();
    for (const point of scatter.points) {
      const start = point.set === state.b && first.get(point.item);
      if (start) { pen.moveTo(scatter.to.x(start.x), scatter.to.y(start.y)); pen.lineTo(scatter.to.x(point.x), scatter.to.y(point.y)); }
    }
    pen.stroke();
  }
  for (const point of scatter.points) {
    const tuned = point.set === state.b;
    pen.globalAlpha = state.selection && !state.selection.has(point.item) ? 0.15 : 0.8;
    pen.beginPath();
    pen.arc(scatter.to.x(point.x), scatter.to.y(point.y), radius, 0, 2 * Math.PI);
    pen.lineWidth = 1.3;
    if (tuned) { pen.fillStyle = colour("--accent"); pen.fill(); } else { pen.strokeStyle = colour("--base"); pen.stroke(); }
  }
  pen.globalAlpha = 1; pen.lineWidth = 1;
}

function drawArea(pen) {
  if (!scatter.area) return;
  const { x0, x1, y0, y1 } = scatter.area;
  const inside = (value) => clamp(value, -10, 10000);  // a side left open is an infinite number
  const left = inside(scatter.to.x(x0)), top = inside(scatter.to.y(y1));
  const box = [left, top, inside(scatter.to.x(x1)) - left, inside(scatter.to.y(y0)) - top];
  pen.fillStyle = colour("--accent"); pen.globalAlpha = 0.12;
  pen.fillRect(...box);
  pen.globalAlpha = 1; pen.strokeStyle = colour("--accent");
  pen.strokeRect(...box);
}

function applyArea() {
  const area = scatter.area;
  const inside = area && scatter.points.filter(({ x, y }) => x >= area.x0 && x <= area.x1 && y >= area.y0 && y <= area.y1);
  update({ selection: area ? new Set(inside.map((point) => point.item)) : null });
  for (const [id, key, axis] of [["x-min", "x0", "x"], ["x-max", "x1", "x"], ["y-min", "y0", "y"], ["y-max", "y1", "y"]]) {
    if (document.activeElement !== $(id)) $(id).value = area && Number.isFinite(area[key]) ? area[key].toFixed(scatter.axes[scatter[axis]].places) : "";
  }
}

function drawSelection() {
  const box = $("scatter-picked");
  if (!box) return;
  const chosen = state.selection ? [...state.selection] : [];
  const kShown = 60;
  const ay = scatter.axes[scatter.y];
  chosen.sort((a, b) => (ay.of(b, state.b) ?? -Infinity) - (ay.of(a, state.b) ?? -Infinity) || 0);
  box.replaceChildren(
    el("p", { class: "hint" }, state.selection ? plural(chosen.length, "image") + " selected" + (chosen.length > kShown ? `, the ${kShown} highest in ${ay.label} shown` : "") : "Draw a rectangle over the points to select their images."),
    state.selection ? el("div", { class: "bar" }, el("button", { class: "field-button strong", onclick: () => showView("images") }, "Show in the grid"),
      el("button", { class: "field-button", onclick: () => { for (const item of chosen) picks.add(imageAt[state.b][item]); picks.delete(-1); update({ picksChanged: true }); } }, "Pick all"),
      el("button", { class: "quiet", onclick: () => { scatter.area = null; applyArea(); } }, "Clear")) : "",
    el("div", { class: "strip" }, ...chosen.slice(0, kShown).map((item) => el("button", { title: titleOf(item), "aria-label": describe(item), onclick: () => openDetail(item) }, picture(imageAt[state.b][item])))));
}

function nearestPoint(event) {
  const box = $("scatter-canvas").getBoundingClientRect();
  const px = event.clientX - box.left, py = event.clientY - box.top;
  let best = null, least = 12 ** 2;
  for (const point of scatter.points) {
    const distance = (scatter.to.x(point.x) - px) ** 2 + (scatter.to.y(point.y) - py) ** 2;
    if (distance < least) { best = point; least = distance; }
  }
  return best;
}

function hoverPoint(event) {
  const tip = $("scatter-tip");
  const point = scatter.drag ? null : nearestPoint(event);
  tip.hidden = !point;
  if (!point) return;
  const box = $("scatter-canvas").getBoundingClientRect();
  const left = scatter.to.x(point.x), flip = left > box.width - 190;
  tip.style.left = (flip ? left - 182 : left + 12) + "px";
  tip.style.top = Math.min(scatter.to.y(point.y) - 20, box.height - 110) + "px";
  tip.replaceChildren(picture(imageAt[point.set][point.item]), el("div", {}, el("p", {}, titleOf(point.item)),
    el("small", {}, `${setName(point.set)} · ${number(point.x, scatter.axes[scatter.x].places)}, ${number(point.y, scatter.axes[scatter.y].places)}`)));
}

function wireCanvas(canvas) {
  canvas.addEventListener("pointerdown", (event) => {
    const box = canvas.getBoundingClientRect();
    scatter.drag = { x: event.clientX - box.left, y: event.clientY - box.top, moved: false };
    canvas.setPointerCapture(event.pointerId);
    $("scatter-tip").hidden = true;
  });
  canvas.addEventListener("pointermove", (event) => {
    hoverPoint(event);
    if (!scatter.drag) return;
    const box = canvas.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    if (Math.abs(x - scatter.drag.x) + Math.abs(y - scatter.drag.y) < 5 && !scatter.drag.moved) return;
    scatter.drag.moved = true;
    const xs = [scatter.from.x(x), scatter.from.x(scatter.drag.x)], ys = [scatter.from.y(y), scatter.from.y(scatter.drag.y)];
    scatter.area = { x0: Math.min(...xs), x1: Math.max(...xs), y0: Math.min(...ys), y1: Math.max(...ys) };
    drawScatterCanvas();
  });
  canvas.addEventListener("pointerup", (event) => {
    const moved = scatter.drag?.moved;
    scatter.drag = null;
    if (moved) { applyArea(); return; }
    const point = nearestPoint(event);
    if (point) openDetail(point.item);
    else { scatter.area = null; applyArea(); }
  });
  canvas.addEventListener("pointerleave", () => { $("scatter-tip").hidden = true; });
}

function axisSelect(axis, label) {
  return el("label", { class: "field" }, el("span", {}, label), el("select", { onchange: (event) => {
    scatter[axis] = Number(event.target.value); scatter.area = null; applyArea(); drawScatter();
  } }, ...scatter.axes.map((entry, k) => el("option", { value: k, selected: k === scatter[axis] }, entry.label))));
}

function rangeInput(id, key, label) {
  return el("input", { id, type: "number", step: "any", placeholder: label.split(" ")[1], "aria-label": label, onchange: (event) => {
    const whole = { x0: -Infinity, x1: Infinity, y0: -Infinity, y1: Infinity };
    const fallback = whole[key];
    scatter.area = { ...whole, ...scatter.area, [key]: event.target.value === "" ? fallback : Number(event.target.value) };
    if (Object.keys(whole).every((name) => !Number.isFinite(scatter.area[name]))) scatter.area = null;
    applyArea();
  } });
}

function drawScatter() {
  const view = $("view-scatter");
  if (!view.childElementCount) {
    scatter.axes = scatterAxes();
    scatter.y = Math.min(1, scatter.axes.length - 1);
    const canvas = el("canvas", { id: "scatter-canvas", role: "img", "aria-label": "Reward against reward, a point an image; the numbers above select as the rectangle does" });
    const lines = el("input", { type: "checkbox", onchange: (event) => { scatter.lines = event.target.checked; drawScatterCanvas(); } });
    view.append(el("div", { class: "view-head" }, el("h1", {}, "Reward against reward"), el("p", { class: "subtitle", id: "scatter-legend" })),
      el("div", { class: "bar" }, axisSelect("x", "Across"), axisSelect("y", "Up"),
        el("div", { class: "field range" }, el("span", {}, "Across"), rangeInput("x-min", "x0", "across from"), rangeInput("x-max", "x1", "across to")),
        el("div", { class: "field range" }, el("span", {}, "Up"), rangeInput("y-min", "y0", "up from"), rangeInput("y-max", "y1", "up to")),
        bothSets ? el("label", { class: "check" }, lines, "Join the pairs") : null),
      el("div", { class: "scatter" }, el("div", { class: "plot" }, canvas, el("div", { id: "scatter-tip", class: "tip", hidden: true })), el("div", { id: "scatter-picked" })));
    wireCanvas(canvas);
    addEventListener("resize", () => { if (state.view === "scatter") drawScatterCanvas(); });
  }
  scatter.points = scatterPoints();
  $("scatter-legend").replaceChildren(...(paired() ? [el("span", { class: "dot-a" }, setName(state.a)), el("span", { class: "dot-b" }, setName(state.b))] : [el("span", { class: "dot-b" }, setName(state.b))]));
  drawScatterCanvas();
  drawSelection();
}

onUpdate(() => { if (state.view === "scatter" && $("scatter-canvas")) { scatter.points = scatterPoints(); drawScatterCanvas(); drawSelection(); } });
