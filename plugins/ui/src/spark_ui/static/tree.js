// A checkpoint as a tree: a branch is fetched when it is opened, and stays open from one moment to the next.

import { announce } from "./app.js";

const one = (selector, within = document) => within.querySelector(selector);
const opened = new Set(["graph_state"]); // paths

async function fetched(address, signal) {
  const answer = await fetch(address, { signal });
  if (!answer.ok) throw new Error(answer.statusText);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return [...page.body.childNodes].map((node) => document.importNode(node, true));
}

/** Open a branch, or close it. */
async function toggle(link) {
  const line = link.closest("li");
  const { path } = line.dataset;
  const inside = one(":scope > .branch-inside", line);
  const isOpen = link.getAttribute("aria-expanded") === "true";
  if (isOpen) opened.delete(path);
  else opened.add(path);
  link.setAttribute("aria-expanded", String(!isOpen));
  if (inside) inside.hidden = isOpen;
  else if (!isOpen) await fill(line, link);
}

/** Fetch what is in a branch; where that fails, it is closed again. */
async function fill(line, link) {
  const inside = document.createElement("div");
  inside.className = "branch-inside";
  inside.setAttribute("aria-busy", "true");
  line.append(inside);
  const { branches } = link.closest("#tree").dataset;
  try {
    inside.append(...(await fetched(`${branches}?open=${link.dataset.open}`)));
  } catch {
    inside.remove();
    opened.delete(line.dataset.path);
    link.setAttribute("aria-expanded", "false");
    announce(["This could not be fetched"]);
    return;
  }
  inside.removeAttribute("aria-busy");
  await reopen(inside);
}

/** More children of a value, or more of its text, where the link to them stands. */
async function more(link) {
  const { branches } = link.closest("#tree").dataset;
  const place = link.closest(".tree-more");
  let nodes;
  try {
    nodes = await fetched(`${branches}?open=${link.dataset.more}&start=${link.dataset.start}`);
  } catch {
    announce(["This could not be fetched"]);
    return;
  }
  const first = nodes.find((node) => node.nodeType === Node.ELEMENT_NODE);
  place.replaceWith(...nodes);
  one("a, button", first)?.focus();
}

/** Open again what was open a moment ago. */
async function reopen(within) {
  for (const line of within.querySelectorAll("li[data-path]")) {
    const link = one(":scope > a.branch", line);
    if (link && opened.has(line.dataset.path) && link.getAttribute("aria-expanded") === "false") {
      link.setAttribute("aria-expanded", "true");
      await fill(line, link);
    }
  }
}

// --- Search ---------------------------------------------------------------------------------------------------------------------

let searching = null;
let typing = 0;

async function search(form) {
  searching?.abort();
  searching = new AbortController();
  const words = one("[type=search]", form).value.trim();
  const place = one("#found"); // of this moment: it is another one once the slider has moved on
  try {
    const address = `${form.dataset.searchTree}?q=${encodeURIComponent(words)}`;
    place.replaceChildren(...(words ? await fetched(address, searching.signal) : []));
  } catch (error) {
    if (error.name !== "AbortError") announce(["The search failed"]);
  }
}

/** The next places, where the link to them stands. */
async function searchOn(link) {
  const place = link.closest(".search-on");
  place.setAttribute("aria-busy", "true");
  link.textContent = "Searching…";
  try {
    const nodes = await fetched(link.dataset.searchOn);
    if (!place.isConnected) return;
    place.replaceWith(...nodes);
    one("a", nodes.find((node) => node.nodeType === Node.ELEMENT_NODE && one("a", node)) ?? one("#found"))?.focus();
  } catch {
    link.textContent = "Search on";
    announce(["The search failed"]);
  }
}

// --- Begin ----------------------------------------------------------------------------------------------------------------------

const content = one("#content");

content.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-open], a[data-more], a[data-search-on]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (link.dataset.searchOn) searchOn(link);
  else if (link.dataset.open === undefined) more(link);
  else toggle(link);
});
content.addEventListener("keydown", (event) => {
  const link = event.target.closest("a[data-open]");
  if (!link || !["ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"].includes(event.key)) return;
  const isOpen = link.getAttribute("aria-expanded") === "true";
  if (event.key === "ArrowRight" && !isOpen) toggle(link);
  else if (event.key === "ArrowLeft" && isOpen) toggle(link);
  else if (event.key === "ArrowLeft") one(":scope > a.branch", link.closest(".branch-inside")?.closest("li") ?? link)?.focus();
  else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const all = [...content.querySelectorAll("a[data-open]")].filter((each) => each.offsetParent);
    all[all.indexOf(link) + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
  }
  event.preventDefault();
});
content.addEventListener("submit", (event) => {
  if (!event.target.matches(".tree-search")) return;
  event.preventDefault();
  search(event.target);
});
content.addEventListener("input", (event) => {
  const form = event.target.closest(".tree-search");
  if (!form) return;
  clearTimeout(typing);
  typing = setTimeout(() => search(form), 250);
});

let last = null;
function seeTree() {
  const tree = one("#tree");
  if (!tree || tree === last) return;
  last = tree;
  reopen(tree);
}
new MutationObserver(seeTree).observe(content, { childList: true });
seeTree();
