// The blind proof: base against trained, by the same page.

async function showProof(job) {
  showView("proof");
  try { await loadJobs(); } catch (error) { fail(error); return; }
  const trainings = work.jobs.filter((one) => one.kind === "finetune");
  const view = $("view-proof");
  const head = el("div", { class: "view-head" }, el("h1", { id: "proof-title" }, "Proof"),
    el("p", { class: "subtitle" }, "Pictures of the base and of the trained model, same prompt and seed, on prompts that were not trained on where there are any. You do not see which is which."));
  view.replaceChildren(head);
  if (!trainings.length) { view.append(el("p", { class: "lede" }, "Nothing was trained yet.")); return; }
  const cards = await Promise.all(trainings.map(proofCard));
  view.append(...cards);
  if (job !== null) $("proof-" + job)?.scrollIntoView({ block: "nearest" });
}

async function proofCard(job) {
  const title = `Training ${job.id}: ${job.request.method}`;
  const card = (...inside) => el("div", { class: "card", id: "proof-" + job.id }, el("h2", {}, title), ...inside);
  try {
    const { step } = await ask("proof", { job: job.id });
    const result = await ask("result", { proof: job.id, person: studio.person });
    const given = result.tuned + result.base + result.even;
    return card(el("p", { class: "lede" }, result.verdict), given ? scale(result) : null,
      given ? el("p", { class: "subtitle" }, `${result.tuned} for the trained model, ${result.base} for the base, ${result.even} even; ${result.pairs - given} pairs left.`) : el("p", { class: "subtitle" }, `${plural(result.pairs, "pair")} of base and ${step.replace("-", " ")}.`),
      given < result.pairs ? el("div", { class: "actions" }, el("button", { class: "field-button strong", onclick: () => startProof(job.id) }, given ? "Go on" : "Start")) : null);
  } catch (error) {
    return card(el("p", { class: "subtitle" }, error.status === 401 || error.message.startsWith("step ") ? error.message : "It has no pictures to compare yet."));
  }
}

function scale(result) {
  const root = svg("svg", { class: "scale", viewBox: "0 0 600 44", role: "img", "aria-label": `Trained model ${percent(result.value)}, interval ${percent(result.low)} to ${percent(result.high)}` });
  const x = (value) => 10 + 580 * value;
  root.append(svg("line", { class: "rule", x1: x(0), x2: x(1), y1: 18, y2: 18 }), svg("line", { class: "half", x1: x(0.5), x2: x(0.5), y1: 4, y2: 32 }),
    svg("rect", { class: "range", x: x(result.low), width: x(result.high) - x(result.low), y: 13, height: 10, rx: 5 }), svg("circle", { class: "at", cx: x(result.value), cy: 18, r: 8 }),
    chartText(x(0), 42, "base", "start"), chartText(x(0.5), 42, "even", "middle"), chartText(x(1), 42, "trained", "end"));
  return root;
}

function startProof(job) {
  $("proving").textContent = "Blind proof";
  startVoting(job);
  $("main").focus();
}
