"use strict";
// Helpers of every page. All text goes in by textContent: nothing is parsed as HTML.

const motion = !matchMedia("(prefers-reduced-motion: reduce)").matches;
const $ = (id) => document.getElementById(id);

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  assign(node, attributes);
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  assign(node, attributes);
  node.append(...children.filter(Boolean));
  return node;
}

function assign(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
}

const icon = (name) => svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: "#i-" + name }));

function number(value, places) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return String(value);
  return value.toFixed(places).replace("-", "−").replace(/^−(0\.?0*)$/, "$1");
}
// As many decimals as show a change of a hundredth of the spread.
function decimalsFor(values) {
  const known = values.filter((value) => value !== null && Number.isFinite(value)).sort((a, b) => a - b);
  if (!known.length) return 2;
  const spread = known[Math.floor(0.95 * (known.length - 1))] - known[Math.floor(0.05 * (known.length - 1))];
  if (!(spread > 0)) return known[0] === Math.round(known[0]) ? 0 : 3;
  return Math.max(0, Math.min(5, 2 - Math.round(Math.log10(spread))));
}

const signed = (value, places) => (value === null ? "–" : (value > 0 ? "+" : "") + number(value, places));
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const plural = (count, word) => count.toLocaleString("en") + " " + word + (count === 1 ? "" : "s");

// "Nice" values between low and high for an axis, about `count` of them.
function ticks(low, high, count) {
  if (!(high > low)) return [low];
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((value) => value >= rough);
  const values = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) values.push(k * step);
  return values;
}
const tickText = (value) => (Math.abs(value) >= 1e5 ? value.toExponential(1) : String(+value.toPrecision(6))).replace("-", "−");

function download(name, text) {
  const link = el("a", { href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

let toastTimer = 0;
function toast(text) {
  $("toast").textContent = text;
  $("toast").classList.add("on");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => $("toast").classList.remove("on"), 1400);
}

// ---- theme and help ----------------------------------------------------------------------------------------------

const kThemes = ["", "light", "dark"];
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").setAttribute("aria-label", "Theme: " + (theme || "as the system"));
  try { localStorage.setItem("laurel-theme", theme); } catch { /* no storage: the theme lasts as long as the page */ }
  document.dispatchEvent(new Event("laurel-theme"));
}
function nextTheme() {
  const now = document.documentElement.dataset.theme || "";
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  setTheme(now === "" ? (dark ? "light" : "dark") : kThemes[(kThemes.indexOf(now) + 1) % 3]);
  toast($("theme").getAttribute("aria-label"));
}
try { document.documentElement.dataset.theme = localStorage.getItem("laurel-theme") ?? ""; } catch { /* no storage */ }

// keys: [["a b", "what they do"], ..]; further elements come after the table.
function openHelp(keys, ...more) {
  $("help").replaceChildren(el("div", { class: "detail-bar" }, el("h2", { id: "help-title" }, "Keyboard"), el("span", { class: "grow" }),
    el("button", { class: "quiet square", "aria-label": "Close", onclick: () => $("help").close() }, icon("close"))),
    el("dl", { class: "keys" }, ...keys.flatMap(([keys, text]) => [el("dt", {}, ...keys.split(" ").filter(Boolean).map((key) => el("kbd", {}, key))), el("dd", {}, text)])), ...more);
  $("help").showModal();
}
