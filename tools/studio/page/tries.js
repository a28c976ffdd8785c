// A prompt that is tried: drawn by the base and by the trained model, with one seed.

const kTryStates = { waiting: "It waits", running: "It is being drawn", failed: "It failed", stopped: "It was stopped", interrupted: "It was interrupted" };

async function tryPrompt(event, job) {
  event.preventDefault();
  try {
    await ask("start", { kind: "try", of: job, prompt: $("try-prompt").value, seed: Number($("try-seed").value) });
    say("The prompt is being drawn.");
    await refreshTraining();
  } catch (error) { alarm(error.message); }
}

// The form stays as it is while the results below it change.
function tryForm(job) {
  const form = el("form", { class: "form", "aria-label": "Try a prompt" }, el("div", { class: "fields" },
    el("label", { class: "field wide-field" }, el("span", {}, "Prompt"), el("input", { id: "try-prompt", maxlength: 300, required: true, autocomplete: "off" })),
    labelled("Seed", el("input", { id: "try-seed", type: "number", min: 0, max: 2 ** 50, value: 1, required: true })),
    el("button", { class: "field-button strong" }, "Draw both")));
  form.addEventListener("submit", (event) => tryPrompt(event, job));
  return form;
}

function drawTries({ id, run, tries }) {
  if (!run.kept.length) { $("tries").replaceChildren(); delete $("tries").dataset.job; return; }
  if ($("tries").dataset.job !== String(id)) {
    $("tries").dataset.job = id;
    $("tries").dataset.state = "";
    $("tries").replaceChildren(el("div", { class: "card" }, el("h2", {}, "Try a prompt"), el("p", { class: "subtitle" }, "By the base and by the trained model, with one seed. It may run beside a training where memory allows; else it waits, and says so."),
      tryForm(id), el("div", { id: "tried" })));
  }
  const state = JSON.stringify(tries);
  if ($("tries").dataset.state === state) return;
  $("tries").dataset.state = state;
  $("tried").replaceChildren(...tries.map(tried));
}

function tried(one) {
  const picture = (address, name) => el("figure", {}, address ? el("img", { src: address, alt: `${one.prompt}, seed ${one.seed}, ${name}` }) : el("div", { class: "blank" }), el("figcaption", {}, name));
  const state = one.state === "ended" ? "" : (kTryStates[one.state] ?? one.state) + (one.note ? ": " + one.note : "") + ".";
  return el("div", { class: "tried" }, el("p", {}, one.prompt, " ", el("small", {}, `seed ${one.seed}`)), state ? el("p", { class: one.state === "failed" ? "warnings" : "subtitle" }, state) : null,
    el("div", { class: "both" }, picture(one.base, "base"), picture(one.tuned, one.step === null ? "trained" : `step ${one.step}`)));
}
