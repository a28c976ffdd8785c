// The grid: which items are shown, in which order, where each lies; only what is near the window is in the document.

const grid = $("grid");
const kGap = 14, kPairGap = 2, kCaption = 30, kHead = 46, kBlockGap = 8, kMargin = 700;
const aspect = (() => {  // height over width, the commonest one
  const counts = new Map();
  for (let image = 0; image < imageCount; image++) {
    const ratio = (images.height[image] / images.width[image]).toFixed(3);
    counts.set(ratio, (counts.get(ratio) ?? 0) + 1);
  }
  return clamp(Number([...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 1), 0.3, 3);
})();

// "gain:aesthetic:down" -> what is measured, of which reward, and whether the highest come first.
function sortKey() {
  const [kind, ...rest] = state.sort.split(":");
  return { kind, down: rest.at(-1) === "down", reward: rest.slice(0, -1).join(":") };
}

function captionReward() {
  const key = sortKey();
  return key.reward || state.filter.reward || rewards[0];
}

function isShown(item, words) {
  const image = imageAt[state.b][item];
  if (image < 0 && (state.mode === "single" || imageAt[state.a][item] < 0)) return false;
  if (state.selection && !state.selection.has(item)) return false;
  if (state.split && items.split[item] !== state.split) return false;
  if (state.pickedOnly && !sets.some((_, set) => picks.has(imageAt[set][item]))) return false;
  const { reward, min, max } = state.filter;
  if (min !== null || max !== null) {
    const value = score(reward, image);
    if (value === null || value < (min ?? -Infinity) || value > (max ?? Infinity)) return false;
  }
  if (!words.length) return true;
  const text = (promptOf(item) + " " + items.key[item]).toLowerCase();
  return words.every((word) => text.includes(word));
}

function itemValue(item, key) {
  const value = key.kind === "gain" ? change(key.reward, item) : score(key.reward, imageAt[state.b][item]);
  return value === null ? (key.down ? -Infinity : Infinity) : value;
}

// Groups of items in the order of display: one group a prompt, or one item each.
function arranged() {
  const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = [];
  for (let item = 0; item < itemCount; item++) if (isShown(item, words)) shown.push(item);
  const key = sortKey();
  const sign = key.down ? -1 : 1;
  const compare = (a, b) => sign * (a.value - b.value) || 0;
  const ranked = key.kind === "value" || key.kind === "gain";
  let groups;
  if (state.group && prompts.length) {
    const byPrompt = new Map();
    for (const item of shown) {
      if (!byPrompt.has(items.prompt[item])) byPrompt.set(items.prompt[item], []);
      byPrompt.get(items.prompt[item]).push(item);
    }
    groups = [...byPrompt.values()].map((list) => ({ items: list, prompt: promptOf(list[0]) }));
  } else {
    groups = shown.map((item) => ({ items: [item], prompt: null }));
  }
  if (ranked) {
    for (const group of groups) {
      const values = new Map(group.items.map((item) => [item, itemValue(item, key)]));
      group.items.sort((a, b) => sign * (values.get(a) - values.get(b)) || 0);
      const finite = [...values.values()].filter(Number.isFinite);
      group.value = finite.length ? mean(finite) : sign * Infinity;
    }
    groups.sort(compare);
  } else if (key.kind === "prompt") {
    groups.sort((a, b) => titleOf(a.items[0]).localeCompare(titleOf(b.items[0])));
  }
  return groups;
}

// ---- layout --------------------------------------------------------------------------------------------------------

let laidWidth = 0;
let rows = [];       // {y, h, blocks: [{kind, x, w, item | prompt, index}]}
let cellRows = [];   // those that hold cells, for the arrow keys
let cell = { w: 0, h: 0, s: 0 };

// As many columns as the wanted size allows, in whole groups; then the pictures grow, in steps that keep the pixels of
// a small picture even, until the columns fill the page.
function measure(width, groups) {
  const across = state.mode === "pair" ? 2 : 1;
  const sideFor = (columns) => ((width + kGap) / columns - kGap - (across - 1) * kPairGap) / across;
  let columns = Math.max(state.mode === "pair" ? 1 : 2, Math.floor((width + kGap) / (across * state.size + (across - 1) * kPairGap + kGap)));
  const group = groups.length ? groups[Math.floor(groups.length / 2)].items.length : 1;
  if (group > 1 && columns > group) columns -= columns % group;
  const side = Math.min(sideFor(columns), 1.5 * state.size);
  const even = side >= 64 ? Math.floor(side / 8) * 8 : Math.floor(side);
  cell = { s: even, w: across * even + (across - 1) * kPairGap, h: Math.round(even * aspect) + kCaption };
  return columns;
}

// The rows of one line of groups that stand beside each other, from height y. Returns the height below them.
function layLine(line, columns, headed, y) {
  if (headed) {
    rows.push({ y, h: kHead, blocks: line.map(({ group, column, span }) => ({
      kind: "head", group, x: column * (cell.w + kGap), w: span * (cell.w + kGap) - kGap })) });
    y += kHead;
  }
  const deep = Math.max(...line.map((entry) => Math.ceil(entry.group.items.length / columns)));
  for (let down = 0; down < deep; down++) {
    const blocks = [];
    for (const { group, column } of line) {
      group.items.slice(down * columns, (down + 1) * columns).forEach((item, k) => {
        blocks.push({ kind: "cell", item, x: (column + k) * (cell.w + kGap), w: cell.w, index: state.order.length });
        state.order.push(item);
      });
    }
    rows.push({ y, h: cell.h, blocks });
    cellRows.push(rows.at(-1));
    y += cell.h + kGap;
  }
  return y + (headed ? kBlockGap : 0);
}

// Groups that fit beside each other share a line; a group that is wider than the page takes several.
function layout() {
  laidWidth = grid.clientWidth;
  const groups = arranged();
  const columns = measure(grid.clientWidth, groups);
  const headed = groups.some((group) => group.prompt !== null);
  rows = []; cellRows = []; state.order = [];
  let y = 0, used = 0;
  let line = [];
  for (const group of groups) {
    const span = Math.min(columns, group.items.length);
    if (used + span > columns) {
      y = layLine(line, columns, headed, y);
      line = []; used = 0;
    }
    line.push({ group, column: used, span });
    used += span;
  }
  if (line.length) y = layLine(line, columns, headed, y);
  grid.style.height = Math.max(0, y) + "px";
  state.cursor = clamp(state.cursor, 0, Math.max(0, state.order.length - 1));
}

// ---- drawing -------------------------------------------------------------------------------------------------------

let drawn = new Map();  // key -> node now in the document

function draw() {
  if (state.view !== "images") return;
  const top = -grid.getBoundingClientRect().top;
  const low = top - kMargin, high = top + innerHeight + kMargin;
  const wanted = new Map();
  for (let r = firstRow(low); r < rows.length && rows[r].y < high; r++) {
    for (const block of rows[r].blocks) {
      wanted.set(block.kind === "cell" ? "c" + block.item : "h" + block.group.items[0], { block, row: rows[r] });
    }
  }
  for (const [key, node] of drawn) {
    if (!wanted.has(key)) { node.remove(); drawn.delete(key); }
  }
  for (const [key, { block, row }] of wanted) {
    let node = drawn.get(key);
    if (!node) {
      node = block.kind === "cell" ? cellNode(block.item) : headNode(block.group);
      drawn.set(key, node);
      grid.append(node);
    }
    node.style.transform = `translate(${block.x}px, ${row.y}px)`;
    node.style.width = block.w + "px";
    if (block.kind === "cell") {
      node.tabIndex = block.index === state.cursor ? 0 : -1;
      node.setAttribute("aria-posinset", block.index + 1);
      node.setAttribute("aria-setsize", state.order.length);
    }
  }
}

function firstRow(low) {
  let a = 0, b = rows.length;
  while (a < b) {
    const middle = (a + b) >> 1;
    if (rows[middle].y + rows[middle].h < low) a = middle + 1; else b = middle;
  }
  return a;
}

function headNode(group) {
  const split = items.split[group.items[0]];
  return el("div", { class: "head", role: "presentation", title: group.prompt },
    el("p", {}, group.prompt || "(no prompt)", split && splits.length > 1 ? el("span", { class: "tag" }, split) : null));
}

function describe(item) {
  const reward = captionReward();
  const parts = [titleOf(item)];
  if (items.seed[item] !== null) parts.push("seed " + items.seed[item]);
  if (reward) {
    const gain = change(reward, item);
    parts.push(reward + " " + number(score(reward, shownImage(item)), decimals[reward]));
    if (gain !== null) parts.push(signed(gain, decimals[reward]) + " against " + setName(state.a));
  }
  return parts.join(", ");
}

function cellNode(item) {
  const shown = shownImage(item);
  const isPicked = sets.some((_, set) => picks.has(imageAt[set][item]));
  const node = el("div", { class: "cell" + (isPicked ? " picked" : ""), role: "option", "aria-selected": String(isPicked),
                           "aria-label": describe(item), "data-item": item });
  const stage = el("div", { class: "stage " + state.mode });
  stage.style.height = Math.round(cell.s * aspect) + "px";
  if (state.mode === "pair") stage.append(picture(imageAt[state.a][item]), picture(imageAt[state.b][item]));
  else if (state.mode === "slider" && paired()) stage.append(...compareParts(imageAt[state.a][item], imageAt[state.b][item], {}));
  else stage.append(picture(shown));
  stage.append(el("span", { class: "pick-mark", "data-pick": true, title: "Pick (p)" }, icon("star")));
  if (state.flip && state.mode !== "pair") stage.append(el("span", { class: "badge" }, setName(state.a)));
  node.append(stage, captionNode(item, shown));
  return node;
}

function captionNode(item, shown) {
  const reward = captionReward();
  const caption = el("div", { class: "caption", "aria-hidden": "true" });
  if (reward) {
    caption.append(el("b", {}, number(score(reward, shown), decimals[reward])));
    const gain = change(reward, item);
    if (gain !== null) caption.append(el("span", { class: gain > 0 ? "gain" : gain < 0 ? "loss" : "same" }, signed(gain, decimals[reward])));
  }
  const seed = items.seed[item] !== null ? "#" + items.seed[item] : items.key[item];
  caption.append(el("span", { class: "seed", title: state.group ? null : titleOf(item) }, state.group || !promptOf(item) ? seed : promptOf(item)));
  return caption;
}

function redraw() {
  for (const node of drawn.values()) node.remove();
  drawn.clear();
  layout();
  draw();
}

// ---- moving about --------------------------------------------------------------------------------------------------

function focusCursor() {
  const row = cellRows.find((line) => line.blocks.some((block) => block.index === state.cursor));
  if (!row) return;
  const box = grid.getBoundingClientRect();
  const bar = $("toolbar").getBoundingClientRect();
  const above = Math.max(0, getComputedStyle($("toolbar")).position === "sticky" ? bar.height : 0) + kHead;
  const y = box.top + row.y;
  if (y < above) scrollBy(0, y - above - 8);
  else if (y + row.h > innerHeight) scrollBy(0, y + row.h - innerHeight + 16);
  draw();
  grid.querySelector(`[data-item="${state.order[state.cursor]}"]`)?.focus({ preventScroll: true });
}

function moveCursor(right, down) {
  if (!state.order.length) return;
  if (right) state.cursor = clamp(state.cursor + right, 0, state.order.length - 1);
  if (down) {
    const at = cellRows.findIndex((line) => line.blocks.some((block) => block.index === state.cursor));
    const here = cellRows[at].blocks.find((block) => block.index === state.cursor);
    const next = cellRows[clamp(at + down, 0, cellRows.length - 1)].blocks;
    state.cursor = next.reduce((best, block) => (Math.abs(block.x - here.x) < Math.abs(best.x - here.x) ? block : best)).index;
  }
  focusCursor();
}

grid.addEventListener("focusin", (event) => {
  const item = Number(event.target.closest(".cell")?.dataset.item ?? -1);
  const index = state.order.indexOf(item);
  if (index < 0 || index === state.cursor) return;
  state.cursor = index;
  for (const node of drawn.values()) if (node.dataset.item !== undefined) node.tabIndex = Number(node.dataset.item) === item ? 0 : -1;
});

grid.addEventListener("click", (event) => {
  const node = event.target.closest(".cell");
  if (!node || node.dataset.dragged) return;
  const item = Number(node.dataset.item);
  if (event.target.closest("[data-pick]")) togglePick(shownImage(item));
  else openDetail(item);
});

let queued = false;
const later = () => {
  if (queued) return;
  queued = true;
  requestAnimationFrame(() => { queued = false; draw(); });
};
addEventListener("scroll", later, { passive: true });
new ResizeObserver(() => { if (state.view === "images" && grid.clientWidth !== laidWidth) redraw(); }).observe(grid);
