// How each run was made: its configuration, the runs beside each other where there are several, and run.json.

// A flat TOML file as [key, value] pairs; a value that spans lines stays with its key.
function tomlPairs(text) {
  const pairs = [];
  let section = "";
  for (const line of (text ?? "").split("\n")) {
    const head = /^\s*\[([^\]=]+)\]\s*$/.exec(line);
    const pair = /^\s*([A-Za-z0-9_."-]+)\s*=\s*(.*)$/.exec(line);
    if (head) section = head[1] + ".";
    else if (pair) pairs.push([section + pair[1], pair[2].trim()]);
    else if (pairs.length && line.trim() && !line.trim().startsWith("#")) pairs.at(-1)[1] += "\n" + line;
  }
  return pairs;
}

function settingsTable() {
  const known = runs.filter((run) => run.config);
  if (!known.length) return null;
  const tables = known.map((run) => new Map(tomlPairs(run.config)));
  const keys = [...new Set(tables.flatMap((table) => [...table.keys()]))];
  const differs = (key) => new Set(tables.map((table) => table.get(key) ?? "")).size > 1;
  const body = el("tbody", {}, ...keys.map((key) => el("tr", { class: differs(key) ? "differs" : "" },
    el("th", { scope: "row" }, key), ...tables.map((table) => el("td", {}, table.get(key) ?? "–")))));
  const table = el("table", { class: "config" }, known.length > 1 ? el("thead", {}, el("tr", {}, el("td", {}), ...known.map((run) => el("th", { scope: "col" }, run.name)))) : null, body);
  const find = el("input", { type: "search", placeholder: "Find a setting", "aria-label": "Find a setting", oninput: narrow });
  const only = el("input", { type: "checkbox", onchange: narrow });
  function narrow() {
    for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(find.value.toLowerCase()) || (only.checked && !row.classList.contains("differs"));
  }
  return el("section", {}, el("h2", {}, "Configuration"),
    el("div", { class: "bar" }, el("label", { class: "field" }, find), known.length > 1 ? el("label", { class: "check" }, only, "Only what differs") : null,
      ...known.map((run) => copyButton(run.config, known.length > 1 ? "Copy " + run.name : "Copy as TOML"))),
    el("div", { class: "wide" }, table));
}

function copyButton(text, label) {
  return el("button", { class: "field-button", onclick: async () => {
    try { await navigator.clipboard.writeText(text); toast("Copied"); } catch { download("config.toml", text); }
  } }, label);
}

function runFacts(run, index) {
  const own = sets.map((_, set) => set).filter((set) => sets[set].run === index);
  const list = Object.entries(run.info ?? {}).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]);
  list.push(["folder", run.path], ["sets", own.map((set) => `${sets[set].name} (${setSize[set].toLocaleString("en")})`).join(", ")]);
  return el("section", {}, el("h2", {}, run.name), el("dl", { class: "facts" }, ...list.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
    run.warnings.length ? el("ul", { class: "warnings" }, ...run.warnings.map((text) => el("li", {}, text))) : null);
}

function drawSettings() {
  const view = $("view-settings");
  if (view.childElementCount) return;
  view.append(...[el("div", { class: "view-head" }, el("h1", {}, "Settings"), el("p", { class: "subtitle" }, `Page made ${data.created.replace("T", " ").slice(0, 16)} UTC by laurel ${data.laurel}.`)),
    ...runs.map(runFacts), settingsTable()].filter(Boolean));
}
