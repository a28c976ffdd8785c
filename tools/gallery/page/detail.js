// One item large: base against tuned, its whole history in training, its rewards and settings.

const detail = $("detail");
let opened = -1;
let detailMode = "slider";

function openDetail(item) {
  opened = item;
  state.cursor = Math.max(0, state.order.indexOf(item));
  drawDetail();
  if (!detail.open) detail.showModal();
}

function stepDetail(by) {
  const at = state.order.indexOf(opened);
  const next = state.order[clamp(at + by, 0, state.order.length - 1)];
  if (next !== undefined && next !== opened) openDetail(next);
}

function detailStage() {
  const before = imageAt[state.a][opened], after = imageAt[state.b][opened];
  const both = paired() && before >= 0 && after >= 0;
  const mode = both ? detailMode : "single";
  const stage = el("div", { class: "stage large " + mode });
  const reference = after >= 0 ? after : before;
  stage.style.setProperty("--ratio", images.width[reference] / images.height[reference]);
  if (mode === "pair") stage.append(picture(before, { full: true, alt: setName(state.a) }), picture(after, { full: true, alt: setName(state.b) }));
  else if (mode === "slider") stage.append(...compareParts(before, after, { full: true, label: `Line between ${setName(state.a)} and ${setName(state.b)}` }));
  else {
    const shown = state.flip ? before : after;
    stage.append(picture(shown < 0 ? reference : shown, { full: true, alt: setName(state.flip ? state.a : state.b) }));
  }
  if (mode === "slider") setSplit(stage, state.flip ? 1 : 0.5);
  const names = both ? el("div", { class: "stage-names" }, el("span", { class: "name-a" + (mode === "single" && !state.flip ? " off" : "") }, setName(state.a)),
                          el("span", { class: "name-b" + (mode === "single" && state.flip ? " off" : "") }, setName(state.b))) : null;
  return el("div", { class: "stage-frame " + mode }, stage, names);
}

function filmstrip() {
  const run = sets[state.b].run;
  const own = sets.map((_, set) => set).filter((set) => sets[set].run === run && imageAt[set][opened] >= 0);
  if (own.length < 2) return null;
  return el("div", { class: "film", role: "group", "aria-label": "The same prompt and seed through training" }, ...own.map((set) =>
    el("button", { class: set === state.b ? "on" : set === state.a ? "from" : "", "aria-pressed": String(set === state.b), title: "Show " + setName(set),
                   onclick: () => { update({ b: set }); } },
      picture(imageAt[set][opened]), el("span", {}, sets[set].step === null || sets[set].step === 0 ? sets[set].name : String(sets[set].step)))));
}

function rewardTable() {
  if (!rewards.length) return null;
  const before = imageAt[state.a][opened], after = imageAt[state.b][opened];
  const head = paired() ? ["Reward", setName(state.a), setName(state.b), "Change"] : ["Reward", setName(state.b)];
  const body = rewards.map((name) => {
    const gain = change(name, opened);
    const cells = [el("th", { scope: "row" }, name, sparkline(name))];
    if (paired()) cells.push(el("td", {}, number(score(name, before), decimals[name])));
    cells.push(el("td", {}, number(score(name, after), decimals[name])));
    if (paired()) cells.push(el("td", { class: gain > 0 ? "gain" : gain < 0 ? "loss" : "" }, signed(gain, decimals[name])));
    return el("tr", {}, ...cells);
  });
  return el("table", { class: "rewards" }, el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col" }, text)))), el("tbody", {}, ...body));
}

// The reward of this item over the steps of training.
function sparkline(name) {
  const points = sets.map((_, set) => set).filter((set) => sets[set].run === sets[state.b].run && sets[set].step !== null)
    .map((set) => [sets[set].step, score(name, imageAt[set][opened])]).filter((point) => point[1] !== null);
  if (points.length < 3) return null;
  const xs = points.map((point) => point[0]), ys = points.map((point) => point[1]);
  const low = Math.min(...ys), span = Math.max(...ys) - low || 1;
  const at = ([x, y]) => [2 + 68 * (x - xs[0]) / (xs.at(-1) - xs[0] || 1), 16 - 13 * (y - low) / span];
  return svg("svg", { class: "spark", width: 72, height: 18, "aria-hidden": "true" },
    svg("polyline", { points: points.map((point) => at(point).map((v) => v.toFixed(1)).join(",")).join(" ") }),
    svg("circle", { cx: at(points.at(-1))[0], cy: at(points.at(-1))[1], r: 2 }));
}

function facts() {
  const image = imageAt[state.b][opened] >= 0 ? imageAt[state.b][opened] : imageAt[state.a][opened];
  const list = [["Seed", items.seed[opened]], ["Split", items.split[opened]], ["Size", `${images.width[image]} × ${images.height[image]}`],
                ["File", pathOf(image)], ["Settings", images.settings[image] < 0 ? "" : data.settings[images.settings[image]]]];
  return el("dl", { class: "facts" }, ...list.filter(([, value]) => value !== null && value !== "").flatMap(([name, value]) =>
    [el("dt", {}, name), el("dd", {}, String(value))]));
}

function drawDetail() {
  const focused = detail.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const at = state.order.indexOf(opened);
  const shown = shownInDetail();
  const button = (key, label, content, action, pressed) => el("button", { "data-key": key, class: "quiet square", "aria-label": label, title: label,
    "aria-pressed": pressed === undefined ? null : String(pressed), onclick: action }, content);
  const modes = paired() ? el("div", { class: "segments", role: "group", "aria-label": "Comparison" }, ...[["slider", "Slider"], ["pair", "Pairs"], ["single", "Flip"]]
    .map(([mode, label]) => el("button", { "data-key": "mode-" + mode, "aria-pressed": String(detailMode === mode),
      onclick: () => { detailMode = mode; drawDetail(); } }, label))) : null;
  detail.replaceChildren(
    el("div", { class: "detail-bar" },
      el("span", { class: "detail-place" }, at < 0 ? "" : `${(at + 1).toLocaleString("en")} of ${state.order.length.toLocaleString("en")}`), modes, el("span", { class: "grow" }),
      button("pick", "Pick (p)", icon("star"), () => togglePick(shown), picks.has(shown)),
      button("left", "Previous (←)", icon("left"), () => stepDetail(-1)), button("right", "Next (→)", icon("right"), () => stepDetail(1)),
      button("close", "Close (Esc)", icon("close"), () => detail.close())),
    el("div", { class: "detail-body" },
      el("div", { class: "detail-picture" }, detailStage(), filmstrip()),
      el("div", { class: "detail-text" }, el("h2", { id: "detail-prompt", tabindex: "-1", autofocus: true }, titleOf(opened)), rewardTable(), facts())));
  const again = focused && detail.querySelector(`[data-key="${focused}"]`);
  if (again) again.focus();
}

const shownInDetail = () => imageAt[state.flip ? state.a : state.b][opened];

detail.addEventListener("close", () => { opened = -1; if (state.view === "images") focusCursor(); });
detail.addEventListener("click", (event) => { if (event.target === detail) detail.close(); });
onUpdate(() => { if (detail.open) drawDetail(); });
