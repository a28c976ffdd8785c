// What was learnt: how well it predicts the answers that only measure, beside every other reward.

const percent = (value) => (value === null ? "–" : Math.round(100 * value) + " %");
const interval = (share) => (share.value === null ? "not measured" : `${percent(share.value)}, ${Math.round(100 * share.low)} to ${percent(share.high)}`);

async function showTaste() {
  showView("taste");
  let reports;
  try { reports = await ask("report"); } catch (error) { fail(error); return; }
  const report = reports.find((one) => one.person === studio.person);
  const head = el("div", { class: "view-head" }, el("h1", { id: "taste-title" }, "Your taste"));
  if (!report) {
    const { counts, sight } = studio;
    const why = !sight ? "This studio was started without learning." : sight.fault ? "Nothing is learnt: " + sight.fault
      : sight.seen < sight.all ? `The pictures are being looked at: ${sight.seen} of ${sight.all}.` : "Give ten answers, and the first curve appears here.";
    $("view-taste").replaceChildren(head, el("p", { class: "lede" }, why), el("p", { class: "subtitle" }, counts ? plural(counts.answered, "answer") + " so far." : ""));
    return;
  }
  $("view-taste").replaceChildren(head, el("p", { class: "lede", id: "verdict" }, report.verdict),
    el("div", { class: "columns" }, curveCard(report), tableCard(report)), ...peopleCards(reports), tasteActions());
}

// Left and width of an interval on a scale from 30 to 100 %.
const kLow = 0.3;
const place = (value) => clamp((value - kLow) / (1 - kLow), 0, 1);

function curveCard(report) {
  const width = 560, height = 300, left = 44, right = 12, top = 26, bottom = 30;
  const points = report.curve.filter((point) => point.value !== null);
  const most = Math.max(20, ...points.map((point) => point.answers));
  const x = (answers) => left + (width - left - right) * Math.log(answers / 8) / Math.log(most / 8);
  const y = (value) => height - bottom - (height - top - bottom) * place(value);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Agreement with your answers after " + points.map((point) => `${point.answers}: ${percent(point.value)}`).join(", ") });
  for (const value of [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]) {
    root.append(svg("line", { class: value === 0.5 ? "rule half" : "rule", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    root.append(chartText(left - 8, y(value) + 4, percent(value), "end"));
  }
  const isClear = (point) => point === points.at(-1) || x(points.at(-1).answers) - x(point.answers) > 28;
  for (const point of points.filter(isClear)) root.append(chartText(x(point.answers), height - 8, String(point.answers), "middle"));
  const best = report.predictors.slice(1).sort((a, b) => b.value - a.value)[0];
  if (best && best.value !== null) root.append(svg("line", { class: "best", x1: left, x2: width - right, y1: y(best.value), y2: y(best.value) }), chartText(left + 6, y(best.value) - 5, best.name, "start", "best"));
  if (report.consistency.value !== null) root.append(svg("line", { class: "ceiling", x1: left, x2: width - right, y1: y(report.consistency.value), y2: y(report.consistency.value) }), chartText(width - right, y(report.consistency.value) - 5, "you, asked again", "end", "ceiling"));
  const band = [...points.map((point) => [x(point.answers), y(point.high)]), ...points.toReversed().map((point) => [x(point.answers), y(point.low)])];
  root.append(svg("polygon", { class: "band", points: band.map((at) => at.join(",")).join(" ") }),
    svg("polyline", { class: "learnt", points: points.map((point) => `${x(point.answers)},${y(point.value)}`).join(" ") }),
    ...points.map((point) => svg("circle", { class: "learnt", r: 3.5, cx: x(point.answers), cy: y(point.value) })));
  return el("figure", { class: "card" }, el("figcaption", {}, el("h2", {}, "Predicted answers"), el("p", { class: "subtitle" }, "by the number of answers learnt from; the band is a 95 % interval")), root);
}

function chartText(x, y, text, anchor, kind = "tick") {
  const node = svg("text", { class: "tick " + kind, x, y, "text-anchor": anchor });
  node.textContent = text;
  return node;
}

function bar(share, kind) {
  if (share.value === null) return el("span", { class: "subtitle" }, "not measured");
  const root = svg("svg", { class: "bar " + kind, viewBox: "0 0 200 16", preserveAspectRatio: "none", "aria-hidden": "true" });
  root.append(svg("line", { class: "half", x1: 200 * place(0.5), x2: 200 * place(0.5), y1: 0, y2: 16 }),
    svg("rect", { x: 200 * place(share.low), width: Math.max(1, 200 * (place(share.high) - place(share.low))), y: 5, height: 6, rx: 3 }),
    svg("circle", { cx: 200 * place(share.value), cy: 8, r: 5 }));
  return root;
}

function tableCard(report) {
  const sorted = [...report.predictors.slice(1)].sort((a, b) => (b.value ?? -1) - (a.value ?? -1));
  const row = (share, kind) => el("tr", { class: kind }, el("th", { scope: "row" }, share.name), el("td", {}, bar(share, kind)), el("td", {}, percent(share.value)));
  const [taste] = report.predictors;
  const side = report.left;
  return el("div", { class: "card" }, el("h2", {}, "Who predicts you"),
    el("p", { class: "subtitle" }, `on ${plural(taste.pairs, "answer")} that nothing learnt from`),
    el("table", { class: "shares" }, el("tbody", {}, row(taste, "own"), ...sorted.map((share) => row(share, "other")), row({ ...report.consistency, name: "you, asked again" }, "again"))),
    side.value !== null && (side.low > 0.5 || side.high < 0.5) ? el("p", { class: "subtitle" }, `You chose the left picture in ${interval(side)} of the decided pairs: a habit of the hand, perhaps.`) : null);
}

// "78 % · κ 0.55", with the number of pairs in its title.
function agreementCell(share) {
  if (share.value === null || !share.pairs) return el("td", {}, "–");
  const kappa = share.kappa === null || share.kappa === undefined ? null : el("small", {}, ` κ ${number(share.kappa, 2)}`);
  return el("td", { title: `${interval(share)}; ${plural(share.pairs, "pair")}` }, percent(share.value), kappa);
}

function matrixOf(people, columns, cellsOf) {
  const name = (id) => studio.about.people.find((one) => one.id === id)?.name ?? "?";
  return el("table", { class: "matrix" }, el("thead", {}, el("tr", {}, el("td", {}), ...columns.map((one) => el("th", { scope: "col" }, one)))),
    el("tbody", {}, ...people.map((report) => el("tr", {}, el("th", { scope: "row" }, name(report.person)), ...cellsOf(report).map(agreementCell)))));
}

function peopleCards(reports) {
  const people = reports.filter((report) => report.person !== 0);
  if (people.length < 2) return [];
  const names = people[0].by_taste_of.map((one) => one.name), { alpha } = reports.find((report) => report.person === 0);
  const rewardNames = people[0].predictors.slice(1).map((one) => one.name);
  return [el("div", { class: "card wide" }, el("h2", {}, "How far people agree"),
    el("p", { class: "subtitle" }, "Answers to the same pairs that are alike, with Cohen's κ, which is 0 for chance and 1 for the same answers; with oneself: the pairs that were asked again." + (alpha.value === null ? "" : ` All people: Krippendorff's α ${number(alpha.value, 2)} on ${plural(alpha.pairs, "pair")}.`)),
    matrixOf(people, names, (report) => report.with)),
  el("div", { class: "card wide" }, el("h2", {}, "Who predicts whom"), el("p", { class: "subtitle" }, "how many answers of the person in the row the taste of the person in the column predicts, and each reward"),
    matrixOf(people, [...names, ...rewardNames], (report) => [...report.by_taste_of, ...report.predictors.slice(1)]))];
}

function tasteActions() {
  return el("div", { class: "actions" }, el("button", { class: "field-button strong", onclick: () => startJob({ kind: "taste" }) }, "Make a reward of it"),
    el("button", { class: "field-button", onclick: exportAnswers }, icon("save"), "Save the answers"));
}
