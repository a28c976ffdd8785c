// Voting. The studio says which pairs wait; the page shows the first and loads the second ahead.

let shownAt = 0, busy = false;
let last = null;  // the pair that was answered last, in this window
const loaded = new Map();  // address -> a promise of the decoded picture

const kNames = { left: "Left", right: "Right", tie: "Equal", both_bad: "Both bad", skip: "Skipped" };

function load(address) {
  if (!loaded.has(address)) {
    const image = new Image();
    image.src = address;
    loaded.set(address, image.decode().then(() => image));
    if (loaded.size > 12) loaded.delete(loaded.keys().next().value);
  }
  return loaded.get(address);
}

// Whose answers are asked for, and of which proof.
const where = () => ({ person: studio.person, ...(studio.proof === null ? {} : { proof: studio.proof }) });

// proof: its number, null for all other pairs
async function startVoting(proof = null) {
  studio.proof = proof;
  last = null;
  busy = true;
  $("proving").hidden = proof === null;
  showView("vote");
  try { await showBallot(await ask("queue", where())); } catch (error) { fail(error); }
}

function fail(error) {
  busy = false;
  showPressed(null);
  if (error.status === 401) { notice("This page is closed", "Open the address that laurel printed in the terminal; it is a new one after each start."); return; }
  alarm(error.message + " Your last answer was not recorded.");
}

async function showBallot(ballot) {
  Object.assign(studio, ballot);
  const pair = studio.queue[0];
  showCount();
  if (!pair) { busy = false; showEnd(); return; }
  showView("vote");
  lookAtBoth();
  try {
    const [left, right] = await Promise.all([load(pair.left), load(pair.right)]);
    showPicture("left", left);
    showPicture("right", right);
  } catch {
    loaded.clear();
    alarm("A picture of this pair cannot be read. Skip it to go on.");
  }
  $("prompt").textContent = pair.prompt || "Which picture do you like more?";
  $("prompt").classList.toggle("none", !pair.prompt);
  showPressed(null);
  $("arena").classList.remove("waiting");
  busy = false;
  shownAt = performance.now();
  for (const next of studio.queue.slice(1)) sides.forEach((side) => load(next[side]).catch(() => {}));
}

function showPicture(side, image) {
  const place = $(side + "-image");
  place.src = image.src;
  place.alt = `${side === "left" ? "Left" : "Right"} picture, ${image.naturalWidth} by ${image.naturalHeight} pixels`;
  $(side).classList.toggle("crisp", image.naturalWidth <= 256 && image.naturalHeight <= 256);
}

function showCount() {
  const { counts, sight } = studio;
  const parts = [plural(counts.answered, "answer")];
  if (studio.proof === null && counts.answered < 40) parts.push(`${40 - counts.answered} more for a first taste`);
  if (studio.proof === null && sight && sight.seen < sight.all && !sight.fault) parts.push(`looked at ${Math.round(100 * sight.seen / sight.all)} % of the pictures`);
  $("count").textContent = parts.join(" · ");
  $("undo").disabled = counts.answered === 0;
  $("reveal").disabled = last === null;
}

function showEnd() {
  if (studio.proof !== null) { showProof(studio.proof); return; }
  notice("Every pair was asked", `You gave ${plural(studio.counts.answered, "answer")}. Start laurel with more pictures to go on.`,
    el("button", { class: "field-button", onclick: undo }, icon("undo"), "Undo the last answer"),
    el("button", { class: "field-button", onclick: exportAnswers }, icon("save"), "Save the answers"));
  say("Every pair was asked.");
}

function showPressed(answer) {
  for (const button of document.querySelectorAll(".answer")) button.classList.toggle("chosen", button.dataset.answer === answer);
  for (const side of sides) {
    $(side).classList.toggle("chosen", answer === side);
    $(side).classList.toggle("dropped", (answer === "left" || answer === "right") && answer !== side);
  }
}

// The answer is on the disk before the next pair is shown.
async function vote(answer) {
  const pair = studio.queue[0];
  if (busy || !pair || viewShown() !== "vote") return;
  busy = true;
  alarm("");
  showPressed(answer);
  try {
    const ballot = await ask("vote", { ...where(), pair: pair.pair, answer, milliseconds: Math.round(performance.now() - shownAt) });
    if (ballot.recorded) last = pair.pair;
    say(ballot.recorded ? `${kNames[answer]} recorded. ${plural(ballot.counts.answered, "answer")}.` : "This pair was answered in another window.");
    if (!ballot.recorded) toast("Answered in another window");
    await showBallot(ballot);
  } catch (error) { fail(error); }
}

async function undo() {
  if (busy) return;
  busy = true;
  try {
    const ballot = await ask("undo", where());
    last = null;
    say(ballot.undone ? "The last answer is taken back." : "There is no answer to take back.");
    if (ballot.undone) toast("Taken back");
    await showBallot(ballot);
  } catch (error) { fail(error); }
}

// Where the last pair came from. After that its answer cannot be changed.
async function reveal() {
  if (last === null) return;
  try {
    const origin = await ask("reveal", { ...where(), pair: last });
    const text = `Last pair: left ${origin.left}, right ${origin.right}`;
    toast(text);
    say(text + ". A new answer to it does not count.");
  } catch (error) { alarm(error.message); }
}

async function exportAnswers() {
  try { download("choices.jsonl", (await ask("lines")).lines); } catch (error) { alarm(error.message); }
}

// A button that the pointer pressed does not keep the focus: the space bar then skips, and does not press it again.
function onPress(node, action) {
  node.addEventListener("click", (event) => {
    if (event.detail > 0) node.blur();
    action(event);
  });
}
for (const side of sides) onPress($(side), () => vote(look.flicker ? sides[look.shown] : side));
for (const button of document.querySelectorAll(".answer")) onPress(button, () => vote(button.dataset.answer));
onPress($("undo"), undo);
onPress($("reveal"), reveal);
