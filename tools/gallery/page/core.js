// The data of the page, and what is shown of it.

const data = JSON.parse(document.getElementById("gallery-data").textContent);
const { runs, sets, items, prompts, images, rewards } = data;

// ---- look-ups ----------------------------------------------------------------------------------------------------

const itemCount = items.prompt.length;
const imageCount = images.set.length;
const imageAt = sets.map(() => new Int32Array(itemCount).fill(-1));  // [set][item] -> image, -1 where there is none
for (let image = 0; image < imageCount; image++) imageAt[images.set[image]][images.item[image]] = image;

const promptOf = (item) => (items.prompt[item] < 0 ? "" : prompts[items.prompt[item]]);
const titleOf = (item) => promptOf(item) || items.key[item];
const score = (reward, image) => (image < 0 ? null : data.scores[reward][image] ?? null);
const setSize = sets.map((_, set) => imageAt[set].reduce((count, image) => count + (image >= 0), 0));
const splits = [...new Set(items.split.filter(Boolean))];
const stepSets = (run) => sets.map((_, set) => set).filter((set) => sets[set].run === run && sets[set].step !== null);

function setName(set) {
  const { run, name, step } = sets[set];
  const own = step === null || step === 0 ? name : "step " + step;
  return runs.length > 1 && !(sets.filter((other) => other.run === run).length === 1) ? runs[run].name + " · " + own
    : sets.filter((other) => other.run === run).length === 1 ? runs[run].name : own;
}

// ---- numbers -----------------------------------------------------------------------------------------------------

const decimals = Object.fromEntries(rewards.map((name) => [name, decimalsFor(data.scores[name])]));

// ---- pictures ----------------------------------------------------------------------------------------------------

// Pictures lie in packs of base64 lines behind this script; a pack is read when one of its pictures is first shown.
const packs = [];
function source(image) {
  const index = Math.floor(image / data.pack_size);
  if (!packs[index]) {
    const node = $("pack-" + index);
    if (!node || (document.readyState === "loading" && !node.nextElementSibling)) return null;
    packs[index] = node.textContent.trim().split("\n");
  }
  const line = packs[index][image % data.pack_size];
  return (line[0] === "p" ? "data:image/png;base64," : "data:image/jpeg;base64,") + line.slice(1);
}

const waiting = [];
function picture(image, { full = false, alt = "" } = {}) {
  const node = el("img", { alt, draggable: "false", decoding: "async" });
  if (image < 0) {
    return el("span", { class: "missing" }, "none");
  }
  if (full && images.full) node.src = images.full[image];
  else if (source(image)) node.src = source(image);
  else waiting.push([node, image]);
  return node;
}
document.addEventListener("DOMContentLoaded", () => {
  for (const [node, image] of waiting.splice(0)) node.src = source(image);
});

// ---- state -------------------------------------------------------------------------------------------------------

const withSteps = runs.map((_, run) => stepSets(run));
function firstPair() {
  const run = Math.max(0, withSteps.findIndex((steps) => steps.length > 0));
  const own = sets.map((_, set) => set).filter((set) => sets[set].run === run);
  const base = own.find((set) => sets[set].name === "base") ?? own[0];
  const last = withSteps[run].length ? withSteps[run].at(-1) : own.at(-1);
  if (base !== last) return { a: base, b: last };
  return sets.length > 1 ? { a: 0, b: sets.length - 1 } : { a: 0, b: 0 };
}

const state = {
  ...firstPair(), view: "images", mode: sets.length > 1 ? "pair" : "single", flip: false, query: "", split: "", sort: "order",
  filter: { reward: rewards[0] ?? "", min: null, max: null }, group: true, pickedOnly: false, selection: null,
  size: innerWidth < 600 ? 96 : 128, smooth: data.smooth, cursor: 0, order: [],
};
const paired = () => state.a !== state.b;
const bothSets = sets.length > 1;
const shownImage = (item) => imageAt[state.flip && state.mode !== "pair" ? state.a : state.b][item];

function change(reward, item) {
  const before = score(reward, imageAt[state.a][item]), after = score(reward, imageAt[state.b][item]);
  return before === null || after === null || !paired() ? null : after - before;
}

const listeners = [];
const onUpdate = (listener) => listeners.push(listener);
function update(changes = {}) {
  Object.assign(state, changes);
  for (const listener of listeners) listener(changes);
}

// ---- picks -------------------------------------------------------------------------------------------------------

const picks = new Set();
const pickStore = "laurel-picks:" + data.identity;
const pathOf = (image) => runs[sets[images.set[image]].run].path + "/" + images.file[image];
try {
  const saved = new Set(JSON.parse(localStorage.getItem(pickStore) ?? "[]"));
  for (let image = 0; image < imageCount && saved.size; image++) if (saved.has(pathOf(image))) picks.add(image);
} catch { /* pages opened from a file may have no storage: picks then live as long as the page */ }

function togglePick(image) {
  if (image < 0) return;
  if (!picks.delete(image)) picks.add(image);
  try { localStorage.setItem(pickStore, JSON.stringify([...picks].map(pathOf))); } catch { /* as above */ }
  toast(picks.has(image) ? "Picked" : "No longer picked");
  update({ picksChanged: true });
}

function pickRecords() {
  return [...picks].sort((a, b) => a - b).map((image) => {
    const item = images.item[image], set = sets[images.set[image]];
    const scores = rewards.map((name) => [name, score(name, image)]).filter(([, value]) => value !== null);
    return { run: runs[set.run].name, set: set.name, step: set.step, file: pathOf(image), prompt: promptOf(item),
             seed: items.seed[item], split: items.split[item] || null, rewards: Object.fromEntries(scores) };
  });
}
