// The models that a training kept: which one counts.

async function chooseModel(job, step) {
  try {
    const { model } = await ask("model", { job, step });
    work.model = model;
    say(`${modelName(model)} counts now.`);
    toast("Chosen");
    await refreshTraining();
  } catch (error) { alarm(error.message); }
}

// What follows from the choice, in words.
function keptWords(job, chosen) {
  if (work.model.job !== job)
    return `More pictures are drawn by ${modelName(work.model)}, and the next training starts from it. ` + (chosen === null ? "Choose a step to have that model count instead." : `The proof of this training compares its step ${chosen} with the base.`);
  return `Step ${work.model.step} counts: the proof of this training compares it with the base, more pictures are drawn by it, and the next training starts from it. Nothing is deleted: choose another at any time.`;
}

function drawKept({ id, run, chosen }) {
  const state = JSON.stringify([run.kept, chosen, work.model]);
  if ($("kept").dataset.state === state) return;
  $("kept").dataset.state = state;
  if (!run.kept.length) { $("kept").replaceChildren(); return; }
  const focused = document.activeElement?.dataset?.step;
  const counts = (step) => work.model.job === id && work.model.step === step;
  const about = (model) => [model.accepted ? "accepted by the guard" : "", model.shown ? "" : "no pictures"].filter(Boolean).join(", ");
  const button = (text, step, job, pressed, more) => el("button", { class: "job-line", "data-step": step, "aria-pressed": String(pressed), onclick: () => chooseModel(job, step) },
    el("span", {}, text), pressed ? el("span", { class: "state running" }, "counts") : null, more ? el("small", {}, more) : null);
  $("kept").replaceChildren(el("div", { class: "card" }, el("h2", {}, "Roll back"), el("p", { class: "subtitle", id: "kept-words" }, keptWords(id, chosen)),
    el("div", { class: "jobs", role: "group", "aria-label": "The model that counts" }, button("Starting model", 0, 0, work.model.job === 0, ""),
      ...run.kept.map((model) => button(`Step ${model.step}`, model.step, id, counts(model.step), about(model))))));
  if (focused) $("kept").querySelector(`[data-step="${focused}"]`)?.focus();
}
