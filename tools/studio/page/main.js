// Keys, settings, and the first view.

const kKeyHelp = [["← 1", "the left picture"], ["→ 2", "the right picture"], ["↑ =", "equally good"], ["↓", "both bad"], ["Space", "skip"], ["⌫", "undo, as often as you like"],
  ["Z", "enlarge both at the same place; Shift and an arrow moves it"], ["F", "one picture over the other; again for the other"], ["I", "where the last pair came from"], ["Esc", "both pictures as they were"], ["T", "light or dark"], ["?", "this help"]];

function showHelp() {
  const keys = el("input", { type: "checkbox", checked: setting.get("keys", "on") === "on", onchange: (event) => useKeys(event.target.checked) });
  openHelp(kKeyHelp, el("div", { class: "help-more" }, el("label", { class: "check" }, keys, "Single keys answer"),
    el("p", {}, "You see no model, no file name and no settings, and the sides are drawn: answers are worth more when they are blind. Some pairs come a second time, to measure how sure you are. About one in seven only measures and teaches nothing. On a touch screen a tap on a picture chooses it, and so does a swipe towards it."),
    el("button", { class: "field-button", onclick: exportAnswers }, icon("save"), "Save the answers")));
}

function useKeys(on) {
  setting.set("keys", on ? "on" : "off");
  document.documentElement.dataset.keys = on ? "on" : "off";
}

const kActions = {
  ArrowLeft: () => vote("left"), 1: () => vote("left"), ArrowRight: () => vote("right"), 2: () => vote("right"), ArrowUp: () => vote("tie"), "=": () => vote("tie"),
  ArrowDown: () => vote("both_bad"), " ": () => vote("skip"), Backspace: undo, z: () => setZoom(!look.zoom, look.x, look.y), f: flickerOn, i: reveal,
};
const kPans = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open || event.target.matches("input, select, textarea")) return;
  if (event.key === "Escape") { lookAtBoth(); return; }
  if (setting.get("keys", "on") !== "on") return;
  if (event.key === "?") { showHelp(); return; }
  if (event.key.toLowerCase() === "t") { nextTheme(); return; }
  if (viewShown() !== "vote" || event.repeat) return;
  if (event.target.matches("button, a") && (event.key === " " || event.key === "Enter")) return;
  if (event.shiftKey && look.zoom && kPans[event.key]) {
    panTo(look.x + kPans[event.key][0], look.y + kPans[event.key][1]);
    event.preventDefault();
    return;
  }
  const action = kActions[event.key] ?? kActions[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  action();
});

$("help-open").addEventListener("click", showHelp);
$("help").addEventListener("click", (event) => { if (event.target === $("help")) $("help").close(); });
$("theme").addEventListener("click", nextTheme);
$("person").addEventListener("click", choosePerson);

// ---- views -----------------------------------------------------------------------------------------------------------

const kOpeners = { vote: () => startVoting(), taste: showTaste, train: showTraining, proof: () => showProof(null) };
$("tabs").addEventListener("click", (event) => {
  const view = event.target.closest("[role=tab]")?.dataset.view;
  if (!view) return;
  alarm("");
  kOpeners[view]();
  $("main").focus();  // the arrows then answer, and do not move among the tabs
});
$("tabs").addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by) return;
  const tabs = [...$("tabs").children];
  const next = tabs[(tabs.indexOf(event.target) + by + tabs.length) % tabs.length];
  next.focus();
  kOpeners[next.dataset.view]();
  event.stopPropagation();
  event.preventDefault();
});
useKeys(setting.get("keys", "on") === "on");

async function start() {
  try {
    await enter();
    studio.about = await ask("about");
  } catch (error) {
    notice("This page is closed", error.status === 401 || error.status === 403 ? "Open the address that laurel printed in the terminal; it is a new one after each start." : error.message);
    return;
  }
  const before = Number(setting.get("person", "0"));
  if (studio.about.people.some((one) => one.id === before)) await becomePerson(before);
  else choosePerson();
}
addEventListener("hashchange", start);
start();
