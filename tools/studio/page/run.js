// A job that is open: what it said; for a training its curves and pictures.

const shownRun = { job: null, state: "", points: "" };

async function drawOpenJob() {
  const job = jobNamed(work.open);
  $("job").hidden = !job;
  if (!job) return;
  if (shownRun.job !== job.id) {
    Object.assign(shownRun, { job: job.id, state: "", points: "" });
    work.evaluations = [];
    $("job").replaceChildren(el("div", { id: "job-head", class: "job-head" }), el("p", { id: "run-verdict", class: "lede" }), el("output", { id: "curve-step", class: "unseen" }), el("div", { id: "panels", class: "panels" }), el("div", { id: "run-pictures" }), el("div", { class: "columns" }, el("div", { id: "kept" }), el("div", { id: "tries" })), el("pre", { id: "log", class: "log", tabindex: 0, "aria-label": "What the job said" }));
  }
  const seen = await ask("watch", { job: job.id, known: work.evaluations?.length ?? 0 }).catch(() => null);
  if (!seen || shownRun.job !== job.id) return;
  drawJobHead(seen);
  const log = $("log"), atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 30;
  log.textContent = seen.log;
  log.hidden = !seen.log;
  if (atEnd) log.scrollTop = log.scrollHeight;
  if (seen.run) { drawRun(seen); drawKept(seen); drawTries(seen); }
  else { $("panels").replaceChildren(); $("run-verdict").textContent = ""; }
}

function drawJobHead(job) {
  const state = job.state + job.note + (job.run ? job.run.epochs : "");
  if (state === shownRun.state) return;
  if (shownRun.state && !shownRun.state.startsWith(job.state)) say(`${job.title}: ${kStates[job.state]}. ${job.note}`);
  shownRun.state = state;
  const buttons = [];
  const button = (text, action, strong = "") => el("button", { class: "field-button " + strong, onclick: action }, text);
  if (job.state === "running") buttons.push(...(job.kind === "finetune" ? [button("Pause", () => tellJob("pause", job.id))] : []), button("Stop", () => tellJob("stop", job.id)));
  if (job.resumable) buttons.push(button("Resume", () => tellJob("resume", job.id), "strong"));
  if (job.kind === "taste" && job.state === "ended") buttons.push(el("p", { class: "subtitle" }, "Use it anywhere: ", el("code", {}, `--define 'mine=pairs:${job.folder}/taste'`)));
  if (job.kind === "finetune" && work.evaluations?.length > 1) buttons.push(button("Prove it blindly", () => showProof(job.id), job.state === "ended" ? "strong" : ""));
  $("job-head").replaceChildren(el("h2", {}, job.title, " ", el("span", { class: "state " + job.state }, kStates[job.state])),
    el("p", { class: "warnings" }, job.note), el("div", { class: "actions" }, ...buttons));
}

const bytes = (count) => (count >= 1e9 ? (count / 1e9).toFixed(1) + " GB" : Math.round(count / 1e6) + " MB");

// "Epoch 3 of 20", or "Step 50 of 200".
function progressOf(request, done) {
  const method = work.methods.find((one) => one.name === request.method && one.from_answers === request.from_answers);
  return `${method?.rounds === "steps" ? "Step" : "Epoch"} ${done} of ${request.rounds}.`;
}

function drawRun({ run, request, state, memory }) {
  const total = request.rounds, done = run.epochs ?? 0;
  const left = state === "running" && run.seconds_per_epoch ? ` About ${duration((total - done) * run.seconds_per_epoch)} left.` : "";
  $("run-verdict").textContent = [progressOf(request, done) + left, memory ? `It holds ${bytes(memory)} of memory.` : "", movement(run.series), run.guard ? `The guard says ${run.guard.state}: ${run.guard.reason}.` : ""].filter(Boolean).join(" ");
  const points = JSON.stringify(run.series.map((series) => series.steps.length));
  if (points !== shownRun.points) {
    shownRun.points = points;
    data.metrics = run.series.filter((series) => isShown(series.name)).map((series) => ({ ...series, run: 0 }));
    drawPanels();
  }
  if (run.rows) {
    work.evaluations = run.evaluations;
    $("run-pictures").replaceChildren(picturesTable(run));
    shownRun.state = "";
  }
}

const duration = (seconds) => (seconds < 90 ? Math.round(seconds) + " s" : seconds < 5400 ? Math.round(seconds / 60) + " min" : (seconds / 3600).toFixed(1) + " h");

// The curves that tell a story; the gallery has all.
const kTold = ["loss", "kl_nats", "diversity", "reward"];
const isShown = (name) => /^(seen|unseen)\/|^mine\d*$/.test(name) || kTold.includes(name);

// What the evaluations say, in a sentence for each reward.
function movement(series) {
  const parts = [];
  for (const one of series) {
    const match = /^unseen\/(.+)$/.exec(one.name);
    const values = one.values.filter((value) => value !== null);
    if (!match || values.length < 2 || /kl|win|sd|std/.test(match[1])) continue;
    const by = values.at(-1) - values[0], name = match[1].replace(/^mine(\d*)$/, (_, person) => "your taste" + (person && " " + person));
    parts.push(Math.abs(by) < 1e-6 ? name + " unchanged" : `${name} ${by > 0 ? "+" : ""}${number(by, decimalPlaces(Math.abs(by)))}`);
  }
  return parts.length ? "On prompts that were not trained on: " + parts.slice(0, 5).join(", ") + "." : "";
}
const decimalPlaces = (size) => (size > 0 ? clamp(2 - Math.floor(Math.log10(size)) - 1, 0, 4) : 1);

function picturesTable(run) {
  const name = (set) => (set === "base" ? "base" : set.replace("step-", "step "));
  const cells = (row) => row.pictures.map((address, k) => el("td", {}, address ? el("img", { src: address, loading: "lazy", alt: `${row.prompt}, ${name(run.evaluations[k])}` }) : ""));
  return el("div", { class: "wide" }, el("table", { class: "strip-table" }, el("caption", {}, "The same prompts and seeds at each evaluation"),
    el("thead", {}, el("tr", {}, el("td", {}), ...run.evaluations.map((set) => el("th", { scope: "col" }, name(set))))),
    el("tbody", {}, ...run.rows.map((row) => el("tr", {}, el("th", { scope: "row" }, row.prompt), ...cells(row))))));
}
