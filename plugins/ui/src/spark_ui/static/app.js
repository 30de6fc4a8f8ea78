// What pages do beyond links and forms: they keep themselves up to date, obey the keyboard, and remember the theme.
//
// A page marks what may change with `data-live` and an id, and things in a list with `data-key`. The script asks for the page again,
// and takes over what is different: so the server draws everything, once, and scroll, focus and selection stay.

const EVERY = 2000; // milliseconds between two looks
const SLOWEST = 15000; // and after several without an answer
const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// --- Live -----------------------------------------------------------------------------------------------------------------------

let tag = null;
let wait = EVERY;
let timer = 0;
let looking = null;
let isOther = false; // whether the next look shows something else than the last one, which is no news
let turns = 0; // how often something else was to be shown

/** Look once, now; resolves when the page shows what the server has. */
export async function refresh() {
  await looking;
  clearTimeout(timer);
  looking = look();
  await looking;
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, wait);
}

/** The next look fetches the page whatever it was before: after the address changed, for instance. */
export function forget() {
  tag = null;
  isOther = true;
  turns += 1;
}

const REASONS = {
  401: "spark ui was started again: open the address that it printed.",
  404: "This is no longer in the store.",
  503: "The store can't be read now.",
};

/** What an answer is that is no page. */
export const wrong = (answer) => new Error(REASONS[answer.status] ?? `The answer was ${answer.status}.`);

/** Say that the page could not be brought up to date; without an error, that it could. */
export function lost(error) {
  one("#lost").hidden = !error;
  if (!error) return;
  const reason = error instanceof TypeError || error instanceof DOMException ? "spark ui does not answer." : error.message;
  one("#lost").textContent = `${reason} What you see may be out of date.`;
}

async function look() {
  const address = location.href;
  const turn = turns;
  try {
    const answer = await fetch(address, { headers: tag ? { "If-None-Match": tag } : {}, redirect: "error", signal: AbortSignal.timeout(30000) });
    if (answer.status !== 304) {
      if (!answer.ok) throw wrong(answer);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (address !== location.href || turn !== turns) return; // something else is wanted by now, or shown already
      tag = answer.headers.get("ETag");
      show(page, isOther);
      isOther = false;
    }
    wait = EVERY;
    lost();
  } catch (error) {
    wait = Math.min(wait * 2, SLOWEST);
    lost(error);
  }
}

/** Take over from another page what may change on this one, and say what is new; of another list, only how long it is.
 *
 * Then the document hears `shown`. */
export function show(page, isAnother = false) {
  const focused = document.activeElement;
  const news = [];
  for (const old of all("[data-live]")) {
    const fresh = page.getElementById(old.id);
    if (fresh) morph(old, fresh, news);
  }
  if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
  announce(isAnother ? all("[data-result]").map((result) => result.textContent) : news);
  document.dispatchEvent(new Event("shown"));
}

/** Make one node like another, changing nothing that is the same already. */
export function morph(old, fresh, news = []) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(document.importNode(fresh, true));
  } else if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
  } else {
    const said = old.dataset.say;
    morphAttributes(old, fresh);
    if (!isOwn(old, "children")) morphChildren(old, fresh, news);
    if (old.dataset.say !== said) tell(old, news);
  }
}

/** Whether the script or the reader changes this of an element, so that it stays as it is. */
const isOwn = (element, name) => (element.dataset.own ?? "").split(" ").includes(name);

function morphAttributes(old, fresh) {
  const own = new Set((old.dataset.own ?? "").split(" ")); // those that the script or the reader changes
  if (old.nodeName === "DETAILS" || old.nodeName === "DIALOG") own.add("open");
  for (const { name } of [...old.attributes]) if (!own.has(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) {
    if (!own.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

function morphChildren(old, fresh, news) {
  const keyed = new Map([...old.children].filter((child) => child.dataset?.key).map((child) => [child.dataset.key, child]));
  let place = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const key = wanted.dataset?.key;
    const found = key === undefined ? (place?.dataset?.key === undefined ? place : null) : keyed.get(key);
    if (found) {
      keyed.delete(key);
      const next = found === place ? place.nextSibling : place;
      if (found !== place) old.insertBefore(found, place);
      place = next;
      morph(found, wanted, news);
    } else {
      const added = old.insertBefore(document.importNode(wanted, true), place);
      if (added.dataset?.say) tell(added, news);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function tell(element, news) {
  news.push(element.dataset.say);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
    const colour = getComputedStyle(document.documentElement).getPropertyValue("--accent-soft");
    element.animate([{ backgroundColor: colour }, {}], { duration: 1500 });
  }
}

/** Say it to those who listen to the page, a few words at a time. */
export function announce(news) {
  if (!news.length) return;
  const rest = news.length - 3;
  one("#news").textContent = news.slice(0, 3).join(". ") + (rest > 0 ? `. And ${rest} more.` : ".");
}

// --- Keyboard -------------------------------------------------------------------------------------------------------------------

const PLACES = { r: "/", f: "/forks", h: "/health" };
let goes = 0; // when `g` was pressed

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) {
    if (event.key !== "Escape") return;
    event.target.blur();
    event.preventDefault(); // a browser would empty the search as well, without saying so
    return;
  }
  if (one("dialog[open]")) return;
  const done =
    event.timeStamp - goes < 1000 && PLACES[event.key]
      ? location.assign(PLACES[event.key]) ?? true
      : ACTIONS[event.key]?.(event);
  goes = event.key === "g" ? event.timeStamp : 0;
  if (done) event.preventDefault();
}

const ACTIONS = {
  "/": () => focusOn(one("[data-search]")),
  "?": () => one("#help").showModal() ?? true,
  j: () => step(1),
  k: () => step(-1),
  ArrowDown: (event) => isOnRow(event) && step(1),
  ArrowUp: (event) => isOnRow(event) && step(-1),
};

const isOnRow = (event) => event.target.matches("[data-row]");

function step(by) {
  const rows = all("[data-row]");
  const at = rows.indexOf(document.activeElement);
  return focusOn(rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1)]);
}

function focusOn(element) {
  if (!element) return false;
  element.focus();
  element.scrollIntoView({ block: "nearest" });
  if (element.select) element.select();
  return true;
}

// --- Search ---------------------------------------------------------------------------------------------------------------------

/** A search that shows what it finds while one types; without the script, its button does. */
function searchAtOnce(form) {
  let typed = 0;
  form.addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(() => {
      history.replaceState(null, "", `${form.action}?${new URLSearchParams(new FormData(form))}`);
      forget();
      refresh();
    }, 200);
  });
}

// --- Theme ----------------------------------------------------------------------------------------------------------------------

const THEMES = ["auto", "light", "dark"];

function nameTheme(button) {
  const theme = document.documentElement.dataset.theme;
  button.textContent = { auto: "Auto", light: "Light", dark: "Dark" }[theme];
  button.title = "Theme: auto, light or dark";
  button.setAttribute("aria-label", `Theme: ${theme}. Change it`);
}

function nextTheme(button) {
  const { dataset } = document.documentElement;
  dataset.theme = THEMES[(THEMES.indexOf(dataset.theme) + 1) % THEMES.length];
  // In a cookie, so that the server draws the next page in it at once.
  document.cookie = `spark_ui_theme=${dataset.theme}; path=/; max-age=31536000; samesite=strict`;
  nameTheme(button);
}

// --- Begin ----------------------------------------------------------------------------------------------------------------------

const buttons = { theme: one("[data-do=theme]"), help: one("[data-do=help]") };
nameTheme(buttons.theme);
buttons.theme.addEventListener("click", () => nextTheme(buttons.theme));
buttons.help.addEventListener("click", () => one("#help").showModal());
Object.values(buttons).forEach((button) => (button.hidden = false));
document.addEventListener("keydown", press);
all("form[data-instant]").forEach(searchAtOnce);
if (one("[data-live]")) {
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));
  timer = setTimeout(refresh, EVERY);
}
