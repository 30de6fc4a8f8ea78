// The slider over the history of a run.
//
// The server draws every moment, as a page with an address of its own. The script knows what headers say of all checkpoints, so it can
// say at once where the thumb stands; it fetches the page of that moment, one at a time, and takes over what differs.

import { forget, lost, show, wrong } from "./app.js";

const one = (selector) => document.querySelector(selector);
const slider = one("#slider");
const range = one("#range");
const strip = one("#strip");
const { here, history: source } = slider.dataset;

const KEPT = 60; // pages
const SLOW = 400; // milliseconds: where a moment takes longer than this to fetch, only those are fetched where the thumb rests
const OFTEN = 200; // milliseconds between two changes of the address
const AHEAD = 150; // milliseconds before neighbours are fetched

let past = null; // columns, by place
let place = Number(range.value);
let following = !new URLSearchParams(location.search).has("at");
let shown = place;
let shownFollowing = following;
let fetching = null;
let took = 0;
let resting = 0;
let naming = 0;
let named = -OFTEN;
let ahead = 0;
let lookedAt = -1; // the place for which the drawing was scrolled last
let isReading = false;
let standing = ""; // what the page says of the whole run
const pages = new Map();

// --- Going to a place -----------------------------------------------------------------------------------------------------------

/** Show the moment at this place; `follow` shows the newest one from now on. */
function go(to, { follow = false } = {}) {
  if (!past) return;
  place = Math.max(0, Math.min(to, past.sequences.length - 1));
  following = follow;
  range.value = place;
  one("#follow").setAttribute("aria-pressed", String(following));
  describe();
  nameAddress();
  clearTimeout(resting);
  if (took > SLOW) resting = setTimeout(pump, SLOW / 2);
  else pump();
}

/** Let the address lead here: at once, or soon, because browsers refuse to have it changed at every move of a mouse. */
function nameAddress() {
  clearTimeout(naming);
  const rest = named + OFTEN - performance.now();
  if (rest > 0) {
    naming = setTimeout(nameAddress, rest);
    return;
  }
  named = performance.now();
  history.replaceState(null, "", addressOf(place, following));
}

async function pump() {
  if (fetching) {
    const isWanted = fetching.address === addressOf(place, following);
    if (!isWanted && performance.now() - fetching.begun > SLOW) fetching.controller.abort();
    return;
  }
  while (shown !== place || shownFollowing !== following) {
    const wanted = place;
    const isFollowing = following;
    const address = addressOf(wanted, following);
    const text = await pageAt(address, isFollowing);
    if (text === null) {
      if (address !== addressOf(place, following)) continue;
      stop();
      break;
    }
    if (address === addressOf(place, following) || took < SLOW) take(text);
    [shown, shownFollowing] = [wanted, isFollowing];
    lookAtWork();
  }
  clearTimeout(ahead);
  if (took < SLOW) ahead = setTimeout(fetchNeighbours, AHEAD);
}

function take(text) {
  show(new DOMParser().parseFromString(text, "text/html"));
  forget();
}

/** The page at an address; null where it could not be fetched, or another one is wanted meanwhile. */
async function pageAt(address, isFollowing) {
  if (pages.has(address)) return pages.get(address);
  const controller = new AbortController();
  const own = (fetching = { address, controller, begun: performance.now() });
  try {
    const answer = await fetch(address, { signal: controller.signal, redirect: "error" });
    const text = await answer.text();
    took = performance.now() - own.begun;
    if (!answer.ok) throw wrong(answer);
    lost();
    if (!isFollowing) keep(address, text); // the newest moment is another one soon
    return text;
  } catch (error) {
    if (error.name === "AbortError") took = SLOW + 1;
    else lost(error);
    return null;
  } finally {
    if (fetching === own) fetching = null;
  }
}

function keep(address, text) {
  pages.delete(address);
  pages.set(address, text);
  if (pages.size > KEPT) pages.delete(pages.keys().next().value);
}

async function fetchNeighbours() {
  for (const near of [place + 1, place - 1]) {
    const address = near >= 0 && near < past.sequences.length ? addressOf(near, false) : null;
    if (!address || pages.has(address) || fetching || following) continue;
    try {
      const answer = await fetch(address, { redirect: "error", priority: "low" });
      if (answer.ok) keep(address, await answer.text());
    } catch {
      return;
    }
  }
}

function addressOf(at, follow) {
  const query = new URLSearchParams();
  if (!follow) query.set("at", past.sequences[at]);
  if (new URLSearchParams(location.search).get("show") === "tree") query.set("show", "tree");
  return query.size ? `${here}?${query}` : here;
}

// --- What headers say -----------------------------------------------------------------------------------------------------------

/** Say where the thumb stands, and light the node that completed last. */
function describe() {
  const node = past.nodes[past.node[place]];
  const words = [`checkpoint ${place + 1} of ${past.sequences.length}: step ${past.iterations[place]}`, node, ago(past.times[place])];
  range.setAttribute("aria-valuetext", words.filter(Boolean).join(", "));
  light(node);
  draw();
}

function light(node) {
  for (const lit of document.querySelectorAll("#paper .is-last")) lit.classList.remove("is-last");
  if (node) one(`#paper [data-node="${CSS.escape(node)}"]`)?.classList.add("is-last");
}

/** Scroll the drawing to the work that is pending, or to the node that completed last, where none of that can be seen. */
function lookAtWork() {
  if (lookedAt === place || shown !== place) return; // a reader who has scrolled it stays there
  lookedAt = place;
  const paper = one("#paper");
  const pending = paper?.querySelectorAll(".is-failed, .is-interrupted, .is-running, .is-waiting") ?? [];
  const nodes = pending.length ? [...pending] : [...(paper?.querySelectorAll(".is-last, .start") ?? [])].slice(-1);
  if (!nodes.length) return;
  const frame = paper.getBoundingClientRect();
  const isSeen = ({ left, right, top, bottom }) => left >= frame.left && right <= frame.right && top >= frame.top && bottom <= frame.bottom;
  const places = nodes.map((node) => node.getBoundingClientRect());
  if (places.some(isSeen)) return;
  const [first] = places;
  paper.scrollBy((first.left + first.right - frame.left - frame.right) / 2, (first.top + first.bottom - frame.top - frame.bottom) / 2);
}

function ago(time) {
  const seconds = Math.max(0, Math.round((Date.now() - time) / 1000));
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const [length, unit] = units.find(([length]) => seconds >= length) ?? [1, "s"];
  return `${Math.floor(seconds / length)} ${unit} ago`;
}

/** Read what is new in the history, or all of it; whether that could be done. The thumb stays at its checkpoint. */
async function read(isWhole) {
  const after = isWhole ? 0 : past.sequences.at(-1);
  let more;
  try {
    const answer = await fetch(`${source}?after=${after}`);
    if (!answer.ok) return false;
    more = await answer.json();
  } catch {
    return false;
  }
  if (!isWhole && more.sequences.length && more.branches !== past.branches) return read(true);
  const sequence = past?.sequences[place];
  past = isWhole ? more : joined(past, more);
  if (sequence !== undefined) place = past.sequences.indexOf(sequence);
  range.max = past.sequences.length - 1;
  return true;
}

function joined(old, more) {
  const numbers = (names, fresh) => fresh.map((name) => (names.includes(name) ? names.indexOf(name) : names.push(name) - 1));
  const nodes = numbers(old.nodes, more.nodes);
  const reasons = numbers(old.reasons, more.reasons);
  old.failed.push(...more.failed.map((each) => each + old.sequences.length));
  old.node.push(...more.node.map((each) => nodes[each]));
  old.reason.push(...more.reason.map((each) => reasons[each]));
  for (const name of ["sequences", "times", "iterations", "lines"]) old[name].push(...more[name]);
  return old;
}

/** The page has shown something else: another moment, or news. */
function see() {
  if (!past) return;
  light(past.nodes[past.node[place]]);
  const at = past.sequences.indexOf(Number(one("#where").dataset.sequence));
  if (at >= 0) shown = at;
  const before = standing;
  standing = `${one("#where").dataset.count}, ${one("#run-head [data-say]")?.dataset.say}`;
  if (standing !== before) pages.clear(); // they say what was before
  lookAtWork();
  catchUp();
}

/** The history may be longer, or have lost its beginning, and the newest moment may be another one. */
async function catchUp() {
  const [count, first, last] = ["count", "first", "last"].map((name) => Number(one("#where").dataset[name]));
  const known = past.sequences;
  if (isReading || (count === known.length && first === known[0] && last === known.at(-1))) return;
  isReading = true;
  const isRead = await read(count <= known.length || first !== known[0]);
  isReading = false;
  if (!isRead) return; // the next page that differs has it read again
  const at = past.sequences.indexOf(Number(one("#where").dataset.sequence));
  if (at >= 0) shown = at;
  if (following) place = past.sequences.length - 1;
  else if (place < 0) place = Math.max(0, at);
  range.value = place;
  describe();
  lookAtWork();
}

// --- The strip above the slider -------------------------------------------------------------------------------------------------

const KINDS = { failed: "--bad", interrupted: "--ask", waiting: "--wait", drained: "--wait", completed: "--good", cancelled: "--bad" };

function draw() {
  const scale = devicePixelRatio || 1;
  const width = strip.clientWidth;
  const height = strip.clientHeight;
  if (!past || !width) return;
  strip.width = width * scale;
  strip.height = height * scale;
  const paint = strip.getContext("2d");
  paint.scale(scale, scale);
  const count = past.sequences.length;
  const branches = Math.min(past.branches, 4);
  const rise = height / branches;
  const colours = {};
  const colourOf = (at) => KINDS[past.reasons[past.reason[at]]];
  const tick = (at, colour, wide) => {
    const row = Math.min(past.lines[at], branches - 1);
    paint.fillStyle = colours[colour] ??= resolved(colour);
    paint.fillRect(xOf(at, width, count) - wide / 2, height - rise * (row + 1) + 1, wide, rise - 2);
  };
  for (let at = 0; at < count; at++) if (!colourOf(at)) tick(at, past.lines[at] ? "--line" : "--border", 1);
  for (let at = 0; at < count; at++) if (colourOf(at)) tick(at, colourOf(at), 2);
  tick(place, "--accent", 3);
}

/** A colour of the style sheet, as a canvas takes it: it knows nothing of light and dark. */
function resolved(name) {
  strip.style.color = `var(${name})`;
  return getComputedStyle(strip).color;
}

const THUMB = 16; // as the style sheet has it
const xOf = (at, width, count) => THUMB / 2 + (count > 1 ? at / (count - 1) : 0) * (width - THUMB);

strip.addEventListener("click", (event) => {
  const share = (event.offsetX - THUMB / 2) / (strip.clientWidth - THUMB);
  go(Math.round(share * (past.sequences.length - 1)));
});

// --- Playing --------------------------------------------------------------------------------------------------------------------

let playing = 0;

function play() {
  if (playing) return stop();
  if (place === past.sequences.length - 1) go(0);
  const every = Math.max(60, Math.min(700, 20000 / past.sequences.length));
  playing = setInterval(() => {
    if (place >= past.sequences.length - 1) return stop();
    if (shown === place) go(place + 1);
  }, every);
  playButton(true);
}

function stop() {
  clearInterval(playing);
  playing = 0;
  playButton(false);
}

function playButton(isPressed) {
  one("#play").setAttribute("aria-pressed", String(isPressed));
  one("#play").textContent = isPressed ? "Stop" : "Play";
}

// --- Begin ----------------------------------------------------------------------------------------------------------------------

const WAYS = {
  first: () => go(0),
  previous: () => go(place - 1),
  next: () => go(place + 1),
  latest: () => go(past.sequences.length - 1, { follow: true }),
};
const KEYS = { ArrowLeft: "previous", ArrowRight: "next", Home: "first", End: "latest" };

slider.addEventListener("click", (event) => {
  const way = event.target.closest("[data-go]")?.dataset.go;
  if (!way || !past || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  stop();
  WAYS[way]();
});
range.addEventListener("input", () => {
  stop();
  go(Number(range.value));
});
one("#play").addEventListener("click", play);
one("#follow").addEventListener("click", () => (following ? go(place) : WAYS.latest()));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !past || event.target === range) return;
  if (event.target.closest("input, textarea, select, button, a, summary, [tabindex='0'], dialog")) return;
  if (event.key === " ") play();
  else if (KEYS[event.key]) WAYS[KEYS[event.key]]();
  else return;
  event.preventDefault();
});
new ResizeObserver(draw).observe(strip);
new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
document.addEventListener("shown", see);

if (await read(true)) {
  if (following) place = shown = past.sequences.length - 1;
  range.value = place;
  for (const element of [range, strip, one("#play"), one("#follow")]) element.hidden = false;
  slider.dataset.ready = "";
  describe();
  see(); // the page may have shown news meanwhile
}
