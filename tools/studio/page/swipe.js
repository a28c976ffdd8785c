// Swipes by touch: towards a picture chooses it, sideways where they stand side by side, up and down where they are
// stacked. Everything that a swipe does, a tap on the picture does too.

const kSwipe = 56;  // pixels that count as a swipe
const swipe = { pointer: null, x: 0, y: 0, done: false };

const stacked = () => $("left").getBoundingClientRect().top !== $("right").getBoundingClientRect().top;

// The side that a movement goes towards; null: it is too short, or goes across.
function sideOf(x, y) {
  const [along, across] = stacked() ? [y, x] : [x, y];
  if (Math.abs(along) < kSwipe || Math.abs(along) < 1.5 * Math.abs(across)) return null;
  return along < 0 ? "left" : "right";
}

function endSwipe() {
  swipe.pointer = null;
  for (const side of sides) $(side).classList.remove("towards");
}

$("arena").addEventListener("pointerdown", (event) => {
  swipe.done = false;
  if (event.pointerType === "mouse" || look.zoom || look.flicker) return;
  if (!event.isPrimary) { endSwipe(); return; }  // two fingers enlarge the page
  Object.assign(swipe, { pointer: event.pointerId, x: event.clientX, y: event.clientY });
});
addEventListener("pointermove", (event) => {
  if (event.pointerId !== swipe.pointer) return;
  const side = sideOf(event.clientX - swipe.x, event.clientY - swipe.y);
  for (const one of sides) $(one).classList.toggle("towards", one === side);
});
addEventListener("pointerup", (event) => {
  if (event.pointerId !== swipe.pointer) return;
  const side = sideOf(event.clientX - swipe.x, event.clientY - swipe.y);
  endSwipe();
  if (side === null) return;
  swipe.done = true;
  vote(side);
});
addEventListener("pointercancel", endSwipe);
// A click that follows a swipe is none.
$("arena").addEventListener("click", (event) => {
  if (!swipe.done || event.detail === 0) return;
  swipe.done = false;
  event.stopPropagation();
  event.preventDefault();
}, true);
