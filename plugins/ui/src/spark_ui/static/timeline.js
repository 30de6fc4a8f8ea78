// The timeline: the server draws each part of it; the script asks for the part that the reader zooms or moves to.

import { forget, refresh } from "./app.js";

const one = (selector) => document.querySelector(selector);
const view = one("#timeline");
const CLOSEST = 1e-3;

let wanted = null; // from where to where, as long as that is not drawn
let going = 0;

const drawn = () => [Number(one("#chart").dataset.first), Number(one("#chart").dataset.last)];
const limits = () => wanted ?? drawn();

/** Show the part from here to there: at once by stretching what is drawn, then as the server draws it. */
function go(first, last) {
  if (last - first < CLOSEST) return;
  wanted = [first, last];
  const [from, to] = drawn();
  const scale = (to - from) / (last - first);
  one("#chart").style.transform = `translateX(${((from - first) / (last - first)) * 100}%) scaleX(${scale})`;
  clearTimeout(going);
  going = setTimeout(() => draw(first, last), 120);
}

async function draw(first, last) {
  const query = new URLSearchParams(location.search);
  query.set("first", first.toFixed(3));
  query.set("last", last.toFixed(3));
  history.replaceState(null, "", `${location.pathname}?${query}`);
  forget();
  await refresh(); // one that was under way has asked for the old address
  if (wanted && wanted[0] === first && wanted[1] === last) {
    await refresh();
    wanted = null;
    one("#chart").style.transform = "";
  }
}

function zoom(factor, around = 0.5) {
  const [first, last] = limits();
  const middle = first + (last - first) * around;
  go(middle - (middle - first) * factor, middle + (last - middle) * factor);
}

function move(share) {
  const [first, last] = limits();
  go(first + (last - first) * share, last + (last - first) * share);
}

const shareOf = (event) => {
  const area = one(".timeline-area").getBoundingClientRect();
  return Math.max(0, Math.min(1, (event.clientX - area.left) / area.width));
};

view.addEventListener(
  "wheel",
  (event) => {
    if (!event.ctrlKey && !event.shiftKey && Math.abs(event.deltaY) > Math.abs(event.deltaX)) return; // the page scrolls
    event.preventDefault();
    if (event.ctrlKey) zoom(event.deltaY > 0 ? 1.25 : 0.8, shareOf(event));
    else move((event.deltaX || event.deltaY) / 1000);
  },
  { passive: false },
);

let dragged = null;
view.addEventListener("pointerdown", (event) => {
  if (event.button || event.target.closest("a")) return;
  dragged = event.clientX;
  view.setPointerCapture(event.pointerId);
});
view.addEventListener("pointermove", (event) => {
  if (dragged === null) return;
  const width = one(".timeline-area").getBoundingClientRect().width;
  move((dragged - event.clientX) / width);
  dragged = event.clientX;
});
for (const name of ["pointerup", "pointercancel"]) view.addEventListener(name, () => (dragged = null));

const KEYS = { "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1.7), ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2) };
view.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});
