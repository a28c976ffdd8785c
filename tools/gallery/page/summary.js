// The masthead: which run this is, and what changed between the two sets in each reward.

function drawTitle() {
  $("title").textContent = data.title;
  document.title = data.title + " · laurel";
  const run = runs[sets[state.b].run];
  const info = run.info ?? {};
  const parts = [info.kind, info.model && String(info.model).split("/").filter(Boolean).at(-1), plural(imageCount, "image"),
                 prompts.length ? plural(prompts.length, "prompt") : "", info.started && String(info.started).slice(0, 10)];
  $("subtitle").replaceChildren(...parts.filter(Boolean).flatMap((part, k) => (k ? [" · ", String(part)] : [String(part)])),
    runs.some((entry) => entry.synthetic) ? el("span", { class: "tag", title: "Made by a model trained on drawn scenes, not on photographs" }, "synthetic") : "");
}

// Means over the items that both sets have. Half the width of the 95 % interval of the mean change is 1.96 standard errors.
function compared(reward, split) {
  const pairs = [];
  for (let item = 0; item < itemCount; item++) {
    if (split && items.split[item] !== split) continue;
    const before = score(reward, imageAt[state.a][item]), after = score(reward, imageAt[state.b][item]);
    if (after !== null && (before !== null || !paired())) pairs.push([before, after]);
  }
  if (!pairs.length) return null;
  const after = mean(pairs.map((pair) => pair[1]));
  if (!paired()) return { count: pairs.length, after };
  const changes = pairs.map((pair) => pair[1] - pair[0]);
  const gain = mean(changes);
  const deviation = Math.sqrt(changes.reduce((sum, value) => sum + (value - gain) ** 2, 0) / Math.max(1, changes.length - 1));
  const wins = mean(changes.map((value) => (value > 0 ? 1 : value < 0 ? 0 : 0.5)));
  return { count: pairs.length, before: mean(pairs.map((pair) => pair[0])), after, gain, half: 1.96 * deviation / Math.sqrt(pairs.length), wins };
}

// Base and tuned on the range that the middle nine tenths of the images span.
function dumbbell(reward, result) {
  const values = [];
  for (const set of [state.a, state.b]) for (const image of imageAt[set]) if (score(reward, image) !== null) values.push(score(reward, image));
  values.sort((a, b) => a - b);
  const low = values[Math.floor(0.05 * (values.length - 1))], high = values[Math.ceil(0.95 * (values.length - 1))];
  const x = (value) => 6 + 128 * clamp((value - low) / (high - low || 1), 0, 1);
  return svg("svg", { class: "dumbbell", viewBox: "0 0 140 16", width: 140, height: 16, "aria-hidden": "true" },
    svg("line", { class: "range", x1: 6, x2: 134, y1: 8, y2: 8 }),
    svg("line", { class: "move", x1: x(result.before), x2: x(result.after), y1: 8, y2: 8 }),
    svg("circle", { class: "from", cx: x(result.before), cy: 8, r: 4 }), svg("circle", { class: "to", cx: x(result.after), cy: 8, r: 4.5 }));
}

function summaryRow(reward, split, first, trained) {
  const result = compared(reward, split);
  if (!result) return null;
  const places = decimals[reward];
  const direction = result.gain > 0 ? "gain" : result.gain < 0 ? "loss" : "";
  const clear = paired() && Math.abs(result.gain) > result.half;
  return el("tr", { class: first ? "first" : "" },
    el("th", { scope: "row" }, first ? reward : "", first && trained ? el("span", { class: "tag" }, "trained") : null),
    splits.length > 1 ? el("td", { class: "split" }, split) : null,
    paired() ? el("td", {}, number(result.before, places)) : null,
    el("td", {}, number(result.after, places)),
    paired() ? el("td", { class: clear ? direction : "", title: `95 % interval over ${result.count} pairs` }, signed(result.gain, places),
      el("small", {}, " ± " + number(result.half, places))) : null,
    paired() ? el("td", { class: "wins" }, Math.round(100 * result.wins) + " %") : null,
    paired() ? el("td", { class: "chart" }, dumbbell(reward, result)) : null);
}

// "aesthetic=1,clip_score=0.5" and ["aesthetic"] both name what was trained on.
function isTrained(reward) {
  const told = JSON.stringify(runs[sets[state.b].run].info?.reward ?? "");
  return told.replace(/[^A-Za-z0-9_.]+/g, " ").split(" ").includes(reward);
}

// The table in words: what was trained, and whether what was not trained rose or fell by more than its interval.
function ledeText() {
  if (!paired()) return "";
  const clear = (result) => (Math.abs(result.gain) > result.half ? Math.sign(result.gain) : 0);
  const told = rewards.filter(isTrained).map((name) => {
    const parts = (splits.length > 1 ? splits : [""]).map((split) => [split, compared(name, split)]).filter(([, result]) => result);
    return `${name} ` + parts.map(([split, result]) => `${signed(result.gain, decimals[name])}${split ? ` on ${split} prompts` : ""}`).join(", ");
  });
  const others = rewards.filter((name) => !isTrained(name)).map((name) => compared(name, "")).filter(Boolean).map(clear);
  const count = (sign) => others.filter((value) => value === sign).length;
  const parts = [[count(1), "rose"], [count(-1), "fell"], [count(0), "stayed within the noise"]].filter(([many]) => many);
  const judged = verdictOn(state.b);  // one judgement: the guard's
  const rest = judged ? "" : parts.length === 1 && others.length > 1 ? `All ${others.length} other rewards ${parts[0][1]}.`
    : others.length ? `Of ${plural(others.length, "other reward")}, ${parts.map(([many, word]) => `${many} ${word}`).join(", ")}.` : "";
  const name = setName(state.b);
  return told.length ? `${name[0].toUpperCase() + name.slice(1)} against ${setName(state.a)}: ${told.join("; ")}. ${rest}` : "";
}

function drawSummary() {
  $("lede").textContent = ledeText();
  $("lede").hidden = !$("lede").textContent;
  const box = $("summary");
  if (!rewards.length) { box.hidden = true; return; }
  const groups = splits.length > 1 ? splits : [""];
  const body = rewards.flatMap((reward) => groups.map((split, k) => summaryRow(reward, split, k === 0, isTrained(reward))));
  const head = ["Reward", splits.length > 1 && "Split", paired() && setName(state.a), setName(state.b), paired() && "Change", paired() && "Higher in", paired() && ""];
  box.replaceChildren(el("table", {}, el("caption", { class: "unseen" }, "Mean reward of the two sets"),
    el("thead", {}, el("tr", {}, ...head.filter((text) => text !== false).map((text) => (text ? el("th", { scope: "col", class: text === "Split" ? "split" : text === "Higher in" ? "wins" : "" }, text) : el("td", {}))))),
    el("tbody", {}, ...body.filter(Boolean))));
}

onUpdate((changes) => { if ("a" in changes || "b" in changes || "start" in changes) { drawTitle(); drawSummary(); } });
