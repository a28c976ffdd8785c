// Jobs: what can be started, what runs, what became of it.

const work = { jobs: [], methods: [], open: null, timer: 0, seen: "" };
const kStates = { running: "running", paused: "paused", ended: "done", failed: "failed", stopped: "stopped", interrupted: "interrupted" };
const endedTastes = () => work.jobs.filter((job) => job.kind === "taste" && job.state === "ended");
const jobNamed = (id) => work.jobs.find((job) => job.id === id);

async function loadJobs() {
  Object.assign(work, await ask("jobs"));
}

async function startJob(request) {
  try {
    const { job } = await ask("start", request);
    await loadJobs();
    say(jobNamed(job).title + ": started.");
    work.open = job;
    work.evaluations = [];
    await showTraining();
  } catch (error) { alarm(error.message); }
}

async function tellJob(action, job) {
  try {
    await ask(action, { job });
    toast({ pause: "It saves after this round and pauses", stop: "It saves after this round and stops", resume: "It goes on" }[action]);
    await refreshTraining();
  } catch (error) { alarm(error.message); }
}

async function showTraining() {
  showView("train");
  try { await loadJobs(); } catch (error) { fail(error); return; }
  if (work.open === null && work.jobs.length) work.open = (work.jobs.find((job) => job.state === "running") ?? work.jobs[0]).id;
  drawForm();
  await refreshTraining();
  clearInterval(work.timer);
  work.timer = setInterval(() => { if (viewShown() === "train" && !document.hidden) refreshTraining(); else if (viewShown() !== "train") clearInterval(work.timer); }, 1500);
}

async function refreshTraining() {
  try { await loadJobs(); } catch { return; }  // the next call tells
  const tastes = endedTastes();
  $("train-lead").textContent = tastes.length ? "Train the model on what was learnt from your answers. Other rewards only watch." : "First make a reward of your answers (under Taste); then the model can learn from it.";
  if (tastes.length !== $("train-form").querySelectorAll("#taste-of option").length) drawForm();
  drawJobs();
  await drawOpenJob();
}

const labelled = (text, node) => el("label", { class: "field" }, el("span", {}, text), node);
const choice = (id, options) => el("select", { id }, ...options.map(([value, text]) => el("option", { value }, text)));

function drawForm() {
  const tastes = endedTastes();
  const form = $("train-form");
  form.hidden = !tastes.length;
  if (!tastes.length) return;
  const people = [[0, "what all share"], ...studio.about.people.map((one) => [one.id, one.name])];
  const method = choice("method", work.methods.map((one) => [one.name, one.name]));
  const summary = el("p", { class: "subtitle", id: "method-summary" });
  const tell = () => { summary.textContent = work.methods.find((one) => one.name === method.value).summary; };
  method.addEventListener("change", tell);
  form.replaceChildren(el("h2", {}, "New training"), el("div", { class: "fields" },
    labelled("Reward", choice("taste-of", tastes.map((job) => [job.id, `reward ${job.id}, ${new Date(1000 * job.at).toLocaleString()}`]))),
    labelled("Taste of", choice("whose", people)), labelled("Method", method),
    labelled("Epochs", el("input", { id: "epochs", type: "number", min: 1, max: 100000, value: 10, required: true }))), summary,
    el("div", { class: "actions" }, el("button", { class: "field-button strong", value: "finetune" }, "Train"), el("button", { class: "field-button", value: "forecast" }, "Forecast time and memory"),
      el("button", { class: "field-button", type: "button", onclick: () => startJob({ kind: "draw", count: 4 }) }, "Draw more pictures")));
  tell();
}

$("train-form").addEventListener("submit", (event) => {
  event.preventDefault();
  startJob({ kind: event.submitter.value, taste: Number($("taste-of").value), person: Number($("whose").value), method: $("method").value, epochs: Number($("epochs").value) });
});

function drawJobs() {
  const state = JSON.stringify([work.jobs.map((job) => [job.id, job.state]), work.open]);
  if (state === work.seen) return;
  work.seen = state;
  const focused = document.activeElement?.dataset?.job;
  $("jobs").replaceChildren(...work.jobs.map((job) => el("button", { class: "job-line", "data-job": job.id, "aria-current": job.id === work.open ? "true" : false,
    onclick: () => { work.open = job.id; work.evaluations = []; refreshTraining(); } },
    el("span", { class: "state " + job.state }, kStates[job.state]), el("span", {}, job.title), el("small", {}, new Date(1000 * job.at).toLocaleString()))));
  if (focused) $("jobs").querySelector(`[data-job="${focused}"]`)?.focus();
}
