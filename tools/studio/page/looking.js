// Looking closer: both pictures enlarged at the same place, or one over the other.

const sides = ["left", "right"];
const look = { zoom: false, flicker: false, shown: 0, x: 50, y: 50 };

function setZoom(on, x = 50, y = 50) {
  look.zoom = on;
  $("arena").classList.toggle("zoomed", on);
  $("zoom").setAttribute("aria-pressed", String(on));
  panTo(x, y);
}

function panTo(x, y) {
  look.x = clamp(x, 0, 100);
  look.y = clamp(y, 0, 100);
  $("arena").style.setProperty("--x", look.x + "%");
  $("arena").style.setProperty("--y", look.y + "%");
}

function setFlicker(on) {
  look.flicker = on;
  look.shown = 0;
  $("arena").classList.toggle("flickering", on);
  $("flicker").setAttribute("aria-pressed", String(on));
  showFlicker();
}

function showFlicker() {
  sides.forEach((side, place) => $(side).classList.toggle("on", place === look.shown));
}

// The first time one picture alone, then the other in its place, and so on.
function flickerOn() {
  if (!look.flicker) { setFlicker(true); say("One picture at a time. Left picture. F shows the other, Escape shows both."); return; }
  look.shown = 1 - look.shown;
  showFlicker();
  say(look.shown ? "Right picture" : "Left picture");
}

function lookAtBoth() {
  setZoom(false);
  setFlicker(false);
}

$("arena").addEventListener("pointermove", (event) => {
  const choice = look.zoom && event.target.closest(".choice");
  if (!choice) return;
  const box = choice.getBoundingClientRect();
  panTo((event.clientX - box.left) / box.width * 100, (event.clientY - box.top) / box.height * 100);
});
$("zoom").addEventListener("click", () => setZoom(!look.zoom));
$("flicker").addEventListener("click", flickerOn);
