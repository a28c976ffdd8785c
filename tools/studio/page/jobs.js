// Jobs: what can be started, what runs, what became of it.

const work = { jobs: [], methods: [], aggregates: [], model: { job: 0, step: 0 }, open: null, timer: 0, seen: "", form: "" };
const kStates = { waiting: "waiting", running: "running", paused: "paused", ended: "done", failed: "failed", stopped: "stopped", interrupted: "interrupted" };
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
  await refreshTraining();
  clearInterval(work.timer);
  work.timer = setInterval(() => { if (viewShown() === "train" && !document.hidden) refreshTraining(); else if (viewShown() !== "train") clearInterval(work.timer); }, 1500);
}

async function refreshTraining() {
  try { await loadJobs(); } catch { return; }  // the next call tells
  $("train-lead").textContent = "Train the model on your answers, or on a reward that was learnt from them. Other rewards only watch.";
  drawForm();
  drawJobs();
  await drawOpenJob();
}

const labelled = (text, node) => el("label", { class: "field" }, el("span", {}, text), node);
const choice = (id, options) => el("select", { id }, ...options.map(([value, text]) => el("option", { value }, text)));
const trainingName = (id) => `training ${id} (${jobNamed(id)?.request.method ?? "?"})`;
const modelName = ({ job, step }) => (job === 0 ? "the model that the studio was started with" : `step ${step} of ${trainingName(job)}`);
const kAnswers = "answers";

// Drawn anew where what it offers has changed, not while somebody fills it in.
function drawForm() {
  const tastes = endedTastes();
  const offered = JSON.stringify([tastes.map((job) => job.id), studio.about.people.length]);
  if (work.form !== offered) {
    work.form = offered;
    buildForm(tastes);
  }
  $("form-model").textContent = `Starts from ${modelName(work.model)}.`;
}

function buildForm(tastes) {
  const source = choice("source", [...tastes.map((job) => [job.id, `reward ${job.id}, ${new Date(1000 * job.at).toLocaleString()}`]), [kAnswers, "the answers themselves"]]);
  const people = studio.about.people;
  const method = choice("method", []), whose = choice("whose", []), rounds = el("input", { id: "rounds", type: "number", min: 1, max: 100000, required: true });
  const roundsName = el("span", {}), summary = el("p", { class: "subtitle", id: "method-summary" });
  const chosen = () => work.methods.find((one) => one.name === method.value && one.from_answers === (source.value === kAnswers));
  const options = (list) => list.map(([value, text]) => el("option", { value }, text));
  const tellMethod = () => {
    const { rounds: name, usual, summary: text, aggregates } = chosen();
    roundsName.textContent = name === "steps" ? "Steps" : "Epochs";
    rounds.value = usual;
    summary.textContent = text + ".";
    const several = people.length > 1 && aggregates && source.value !== kAnswers;
    whose.replaceChildren(...options([[0, source.value === kAnswers ? "everybody" : "what all share"], ...people.map((one) => [one.id, one.name]),
      ...(several ? work.aggregates.map((one) => [one.name, `each person: ${one.name} (${one.description})`]) : [])]));
  };
  const tellSource = () => {
    method.replaceChildren(...options(work.methods.filter((one) => one.from_answers === (source.value === kAnswers)).map((one) => [one.name, one.name])));
    tellMethod();
  };
  source.addEventListener("change", tellSource);
  method.addEventListener("change", tellMethod);
  $("train-form").replaceChildren(el("h2", {}, "New training"), el("p", { class: "subtitle", id: "form-model" }),
    el("div", { class: "fields" }, labelled("Learn from", source), labelled("Taste of", whose), labelled("Method", method), el("label", { class: "field" }, roundsName, rounds)), summary,
    el("div", { class: "actions" }, el("button", { class: "field-button strong", value: "finetune" }, "Train"), el("button", { class: "field-button", value: "forecast" }, "Forecast time and memory"),
      el("button", { class: "field-button", type: "button", onclick: () => startJob({ kind: "draw", count: 4 }) }, "Draw more pictures")));
  tellSource();
}

// A person's number, or the rule for all of them.
const whoseRequest = (value) => (/^\d+$/.test(value) ? { person: Number(value) } : { aggregate: value });

$("train-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const source = $("source").value;
  const from = source === kAnswers ? { from_answers: true } : { taste: Number(source) };
  startJob({ kind: event.submitter.value, ...from, ...whoseRequest($("whose").value), method: $("method").value, rounds: Number($("rounds").value) });
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
