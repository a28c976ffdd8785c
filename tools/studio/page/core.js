// Asking the studio, and what the page knows.

const studio = { about: null, person: null, proof: null, queue: [], counts: null, sight: null };

// What the gallery's curves draw: the run that is watched.
const data = { metrics: [] }, runs = [{ name: "run" }], rewards = [];

class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

async function ask(path, body = {}) {
  let answer;
  try {
    answer = await fetch("/api/" + path, { method: "POST", headers: { "Content-Type": "application/json", "X-Laurel": "1" }, body: JSON.stringify(body), credentials: "same-origin" });
  } catch {
    throw new Refused(0, "The studio does not answer. Does laurel still run?");
  }
  const value = await answer.json().catch(() => ({ error: "The studio answered with something else than expected." }));
  if (!answer.ok) throw new Refused(answer.status, value.error);
  return value;
}

// What was done, for a screen reader.
function say(text) { $("said").textContent = text; }

function alarm(text) {
  $("alarm").textContent = text;
  $("alarm").hidden = !text;
}

const kViews = ["notice", "people", "vote", "taste", "train", "proof"];
function showView(name) {
  for (const view of kViews) $("view-" + view).hidden = view !== name;
  const open = name !== "people" && studio.person !== null;
  $("person").hidden = !open;
  $("views").hidden = !open || !studio.about.studio;
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const on = tab.dataset.view === (studio.proof !== null && name === "vote" ? "proof" : name);
    tab.setAttribute("aria-selected", String(on));
    tab.tabIndex = on ? 0 : -1;
  }
}
const viewShown = () => kViews.find((view) => !$("view-" + view).hidden);

function notice(title, text, ...actions) {
  $("view-notice").replaceChildren(el("h1", {}, title), el("p", {}, text), el("div", { class: "actions" }, ...actions));
  showView("notice");
}

// The token is in the address once; the cookie that it is exchanged for is out of scripts' reach.
async function enter() {
  const token = new URLSearchParams(location.hash.slice(1)).get("t");
  if (!token) return;
  await ask("enter", { token });
  history.replaceState(null, "", "/");
}

// Settings of this browser.
const setting = {
  get(name, otherwise) { try { return localStorage.getItem("laurel-" + name) ?? otherwise; } catch { return otherwise; } },
  set(name, value) { try { localStorage.setItem("laurel-" + name, value); } catch { /* no storage: it lasts as long as the page */ } },
};
