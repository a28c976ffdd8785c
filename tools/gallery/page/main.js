// The toolbar, the views, the keys and the theme; then the first drawing.

const option = (value, label, selected) => el("option", { value, selected }, label);

function fillControls() {
  const several = runs.length > 1;
  for (const [id, key] of [["set-a", "a"], ["set-b", "b"]]) {
    const groups = runs.map((run, index) => {
      const own = sets.map((_, set) => set).filter((set) => sets[set].run === index).map((set) => option(set, setName(set), state[key] === set));
      return several && own.length > 1 ? [el("optgroup", { label: run.name }, ...own)] : own;
    });
    $(id).replaceChildren(...groups.flat());
    $(id).addEventListener("change", (event) => update({ [key]: Number(event.target.value) }));
  }
  $("sets").hidden = !bothSets;
  $("mode").hidden = !bothSets;
  const sorts = [option("order", "as made"), option("prompt:up", "prompt, A to Z")];
  for (const name of rewards) sorts.push(option(`value:${name}:down`, name + ", highest"), option(`value:${name}:up`, name + ", lowest"));
  if (bothSets) for (const name of rewards) sorts.push(option(`gain:${name}:down`, name + ", most gained"), option(`gain:${name}:up`, name + ", most lost"));
  $("sort").replaceChildren(...sorts);
  $("split").replaceChildren(option("", "all"), ...splits.map((name) => option(name, name)));
  $("split-field").hidden = splits.length < 2;
  $("filter-reward").replaceChildren(...rewards.map((name) => option(name, name)));
  $("reward-filter").hidden = !rewards.length;
  $("group").parentElement.hidden = !prompts.length;
  $("tab-curves").hidden = !data.metrics.length;
  $("tab-scatter").hidden = !rewards.length || (rewards.length < 2 && !bothSets);
}

const inputs = {
  query: ["input", (node) => ({ query: node.value, cursor: 0 })], sort: ["change", (node) => ({ sort: node.value, cursor: 0 })],
  split: ["change", (node) => ({ split: node.value })], group: ["change", (node) => ({ group: node.checked })],
  picked: ["change", (node) => ({ pickedOnly: node.checked })], smooth: ["change", (node) => ({ smooth: node.checked })],
  size: ["input", (node) => ({ size: Number(node.value) })],
};

function wireControls() {
  for (const [id, [kind, read]] of Object.entries(inputs)) $(id).addEventListener(kind, (event) => update(read(event.target)));
  const bound = (id) => ($(id).value === "" ? null : Number($(id).value));
  for (const id of ["filter-reward", "filter-min", "filter-max"]) {
    $(id).addEventListener("change", () => update({ filter: { reward: $("filter-reward").value, min: bound("filter-min"), max: bound("filter-max") } }));
  }
  $("mode").addEventListener("click", (event) => { if (event.target.dataset.mode) update({ mode: event.target.dataset.mode, flip: false }); });
  $("step").addEventListener("input", (event) => update({ b: timeSets()[Number(event.target.value)] }));
  $("play").addEventListener("click", () => (playing ? stopPlaying() : startPlaying()));
  $("selection").addEventListener("click", () => { scatter.area = null; update({ selection: null }); });
  $("reset").addEventListener("click", clearFilters);
  $("more").addEventListener("click", () => { const open = $("toolbar").classList.toggle("open"); $("more").setAttribute("aria-expanded", String(open)); });
  $("export").addEventListener("click", () => download("picks.json", JSON.stringify({ laurel: data.laurel, page: data.title, picks: pickRecords() }, null, 1) + "\n"));
  $("tabs").addEventListener("click", (event) => { if (event.target.dataset.view) showView(event.target.dataset.view); });
  $("help-open").addEventListener("click", () => openHelp(kKeys));
  $("theme").addEventListener("click", nextTheme);
}

function clearFilters() {
  $("query").value = ""; $("filter-min").value = ""; $("filter-max").value = ""; $("picked").checked = false; $("split").value = "";
  scatter.area = null;
  update({ query: "", split: "", pickedOnly: false, selection: null, filter: { ...state.filter, min: null, max: null } });
}

// ---- time ----------------------------------------------------------------------------------------------------------

let playing = 0;
const timeSets = () => withSteps[sets[state.b].run];

function moveTime(by) {
  const own = timeSets();
  if (own.length < 2) return;
  update({ b: own[clamp(Math.max(0, own.indexOf(state.b)) + by, 0, own.length - 1)] });
}

function startPlaying() {
  const own = timeSets();
  if (state.b === own.at(-1)) update({ b: own[0] });
  playing = setInterval(() => { moveTime(1); if (state.b === timeSets().at(-1)) stopPlaying(); }, motion ? 650 : 1300);
  showPlaying();
}
function stopPlaying() { clearInterval(playing); playing = 0; showPlaying(); }
function showPlaying() {
  $("play").replaceChildren(icon(playing ? "pause" : "play"));
  $("play").setAttribute("aria-label", playing ? "Stop" : "Play the training steps");
}

// ---- views, theme, help ----------------------------------------------------------------------------------------------

const drawers = { images: redraw, curves: drawCurves, scatter: drawScatter, settings: drawSettings };

function showView(name) {
  const tab = $("tab-" + name);
  if (!tab || tab.hidden) return;
  state.view = name;
  for (const button of document.querySelectorAll("[role=tab]")) {
    const on = button === tab;
    button.setAttribute("aria-selected", String(on));
    button.tabIndex = on ? 0 : -1;
    $("view-" + button.dataset.view).hidden = !on;
  }
  if (location.hash !== "#" + name) history.replaceState(null, "", "#" + name);
  scrollTo(0, 0);
  drawers[name]();
  showStatus();
}

const kKeys = [["← → ↑ ↓", "move between images"], ["Enter", "open, and Esc to close"], ["Space", "flip between base and tuned"], ["[  ]", "an earlier, a later training step"],
  ["p", "pick the image that is shown"], ["v", "next layout"], ["+  −", "larger, smaller"], ["/", "search the prompts"], ["1 2 3 4", "images, curves, scatter, settings"], ["t", "light or dark"], ["?", "this help"]];
$("help").addEventListener("click", (event) => { if (event.target === $("help")) $("help").close(); });

// ---- keys ------------------------------------------------------------------------------------------------------------

function flip() {
  if (!paired()) return;
  if (detail.open) { if (detailMode === "pair") detailMode = "single"; update({ flip: !state.flip }); return; }
  update(state.mode === "pair" ? { mode: "single", flip: true } : { flip: !state.flip });
  focusCursor();
}

const inGrid = () => state.view === "images" && !detail.open;
const actions = {
  "/": () => { showView("images"); $("query").focus(); $("query").select(); }, "?": () => openHelp(kKeys), t: nextTheme, " ": flip,
  "[": () => moveTime(-1), "]": () => moveTime(1),
  p: () => togglePick(detail.open ? shownInDetail() : shownImage(state.order[state.cursor] ?? -1)),
  v: () => { const modes = ["pair", "slider", "single"]; if (bothSets) update({ mode: modes[(modes.indexOf(state.mode) + 1) % 3], flip: false }); },
  "+": () => update({ size: clamp(state.size + 32, 64, 384) }), "-": () => update({ size: clamp(state.size - 32, 64, 384) }),
  1: () => showView("images"), 2: () => showView("curves"), 3: () => showView("scatter"), 4: () => showView("settings"),
  Enter: () => { if (inGrid() && state.order.length) openDetail(state.order[state.cursor]); },
};
const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const target = event.target;
  if (target.matches("input:not([type=checkbox]):not([type=range]), select, textarea")) {
    if (event.key === "Escape" || (event.key === "Enter" && target.id === "query")) { target.blur(); focusCursor(); }
    return;
  }
  if (target.matches("[role=tab]") && arrows[event.key]) { moveTab(arrows[event.key][0]); event.preventDefault(); return; }
  if (target.matches("input[type=range]") && arrows[event.key]) return;
  if (target.matches("button, a, input") && (event.key === "Enter" || event.key === " ")) return;
  if (arrows[event.key]) {
    if (detail.open) stepDetail(arrows[event.key][0] || arrows[event.key][1]);
    else if (state.view === "images" && (grid.contains(document.activeElement) || !$("toolbar").contains(document.activeElement))) moveCursor(...arrows[event.key]);
    else return;
    event.preventDefault();
  } else if (actions[event.key] && !(detail.open && /^[1-4/]$/.test(event.key))) {
    actions[event.key]();
    event.preventDefault();
  }
});

function moveTab(by) {
  const tabs = [...document.querySelectorAll("[role=tab]:not([hidden])")];
  const next = tabs[(tabs.findIndex((tab) => tab.getAttribute("aria-selected") === "true") + by + tabs.length) % tabs.length];
  showView(next.dataset.view);
  next.focus();
}

// ---- what the toolbar says ---------------------------------------------------------------------------------------------

function showStatus() {
  $("set-a").value = state.a; $("set-b").value = state.b; $("size").value = state.size; $("smooth").checked = state.smooth;
  document.documentElement.dataset.pixels = state.smooth ? "smooth" : "crisp";
  for (const button of $("mode").children) {
    const on = button.dataset.mode === state.mode;
    button.setAttribute("aria-checked", String(on));
    button.tabIndex = on ? 0 : -1;
  }
  const own = timeSets();
  $("time").hidden = own.length < 3;
  $("step").max = Math.max(0, own.length - 1);
  $("step").value = Math.max(0, own.indexOf(state.b));
  const label = sets[state.b].step === null ? "" : "step " + sets[state.b].step;
  $("step-label").textContent = label;
  $("step").setAttribute("aria-valuetext", label);
  const { min, max } = state.filter;
  const narrowed = state.query || state.split || state.pickedOnly || state.selection || min !== null || max !== null;
  $("shown").textContent = narrowed ? `${state.order.length.toLocaleString("en")} of ${plural(itemCount, "image")}` : plural(state.order.length, paired() ? "pair" : "image");
  $("reset").hidden = !narrowed;
  $("selection").hidden = !state.selection;
  if (state.selection) $("selection").replaceChildren(`Scatter selection: ${state.selection.size}`, icon("close"));
  $("empty").hidden = state.order.length > 0;
  $("empty").textContent = state.pickedOnly && !picks.size ? "Nothing picked yet: move to an image and press p." : "No image fits these filters.";
  $("pick-count").textContent = picks.size;
  $("export").disabled = !picks.size;
}

onUpdate(() => {
  if (state.view === "images") {
    const focused = grid.contains(document.activeElement);
    redraw();
    if (focused && !detail.open) focusCursor();
  }
  showStatus();
});

fillControls();
wireControls();
addEventListener("hashchange", () => showView(location.hash.slice(1)));
for (const [target, name] of [[matchMedia("(prefers-color-scheme: dark)"), "change"], [document, "laurel-theme"]]) {
  target.addEventListener(name, () => { if (state.view === "scatter") drawScatter(); });
}
update({ start: true });
showView($("tab-" + location.hash.slice(1)) ? location.hash.slice(1) : "images");
