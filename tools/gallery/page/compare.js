// One image over another with a line between them that is dragged.

// The parts of a comparison, for an element of class "slider". With `label`, the line is a slider for the keyboard too.
function compareParts(before, after, { full = false, label = "" }) {
  const over = el("div", { class: "over" }, picture(before, { full }));
  const handle = el("div", { class: "handle" }, el("i"));
  if (label) {
    assign(handle, { role: "slider", tabindex: "0", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100",
                     "aria-valuenow": "50", "aria-orientation": "horizontal" });
  }
  return [picture(after, { full }), over, handle];
}

function setSplit(stage, share) {
  const percent = clamp(share, 0, 1) * 100;
  stage.style.setProperty("--split", percent + "%");
  const handle = stage.querySelector(".handle");
  if (handle?.hasAttribute("role")) handle.setAttribute("aria-valuenow", String(Math.round(percent)));
}

let drag = null;
document.addEventListener("pointerdown", (event) => {
  const stage = event.target.closest?.(".stage.slider");
  if (!stage || event.button !== 0 || event.target.closest("[data-pick]")) return;
  drag = { stage, x: event.clientX, y: event.clientY, moved: false, touch: event.pointerType === "touch" };
});
document.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const across = Math.abs(event.clientX - drag.x);
  if (!drag.moved && across < 4) return;
  drag.moved = true;
  const box = drag.stage.getBoundingClientRect();
  setSplit(drag.stage, (event.clientX - box.left) / box.width);
});
for (const end of ["pointerup", "pointercancel"]) {
  document.addEventListener(end, () => {
    const cellOf = drag?.moved && drag.stage.closest(".cell");
    if (cellOf) {  // the click that ends a drag opens nothing
      cellOf.dataset.dragged = "1";
      setTimeout(() => delete cellOf.dataset.dragged, 0);
    }
    drag = null;
  });
}
document.addEventListener("keydown", (event) => {
  if (!event.target.matches?.(".handle[role=slider]")) return;
  const now = Number(event.target.getAttribute("aria-valuenow"));
  const next = { ArrowLeft: now - 2, ArrowRight: now + 2, PageDown: now - 10, PageUp: now + 10, Home: 0, End: 100 }[event.key];
  if (next === undefined) return;
  setSplit(event.target.closest(".stage"), next / 100);
  event.preventDefault();
  event.stopImmediatePropagation();  // the arrows of the page are heard on the document too
});
