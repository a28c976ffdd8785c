// The guard's verdicts: one button for each evaluation, and in words the one of the tuned set, with the images that lost most.

const verdictsOf = (set) => runs[sets[set].run].guard ?? [];

// The verdict on this set: of its step, or the last one before it.
function verdictOn(set) {
  const step = sets[set].step;
  return step === null ? verdictsOf(set).at(-1) : verdictsOf(set).filter((verdict) => verdict.step <= step).at(-1);
}

const stateText = (verdict) => verdict.state + (verdict.kind ? ` (${verdict.kind})` : "");

function verdictButton(verdict, shown) {
  const set = stepSets(sets[state.b].run).find((other) => sets[other].step === verdict.step);
  return el("li", {}, el("button", { class: `state-${verdict.state}` + (verdict === shown ? " shown" : ""), title: verdict.reason, disabled: set === undefined,
    "aria-pressed": String(verdict === shown), onclick: () => update({ b: set }) }, `${verdict.step} ${verdict.state}`));
}

// The items of a verdict's images, by the names of their files in the set of its step.
function worstItems(verdict) {
  const set = stepSets(sets[state.b].run).find((other) => sets[other].step === verdict.step);
  if (set === undefined) return [];
  const found = (verdict.worst ?? []).map(({ image, change }) => ({ change, item: imageAt[set].findIndex((other) => other >= 0 && fileStem(other) === image), set }));
  return found.filter(({ item }) => item >= 0);
}
const fileStem = (image) => images.file[image].split("/").at(-1).replace(/\.[^.]*$/, "");

function drawGuard() {
  const box = $("guard"), verdict = verdictOn(state.b);
  box.hidden = !verdict;
  if (!verdict) return;
  const accepted = verdict.accepted === null ? "Nothing was accepted yet." : verdict.accepted === 0 ? "The start alone was accepted." : `The last accepted step is ${verdict.accepted}.`;
  const worst = worstItems(verdict);
  box.replaceChildren(
    el("ol", { "aria-label": "The guard's verdict at each evaluation" }, ...verdictsOf(state.b).map((one) => verdictButton(one, verdict))),
    el("p", {}, `Guard at step ${verdict.step}: `, el("strong", { class: `state-${verdict.state}` }, stateText(verdict)), `: ${verdict.reason}. ${accepted}`),
    worst.length ? el("div", { class: "worst", "aria-label": "Images that lost most" }, ...worst.map(({ item, set, change }) =>
      el("button", { title: `${titleOf(item)}: ${signed(change, 2)} deviations`, "aria-label": `Lost most: ${titleOf(item)}`, onclick: () => openDetail(item) },
        picture(imageAt[set][item])))) : "");
}

onUpdate((changes) => { if ("b" in changes || "start" in changes) drawGuard(); });
