// Buttons that copy: a command, a path, or a value that is fetched first.

import { announce } from "./app.js";

document.documentElement.dataset.script = ""; // the style sheet shows them then

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-value]");
  if (!button) return;
  try {
    const text = button.dataset.copy ?? (await valueOf(button));
    if (text === null) return say(button, "Too large");
    await navigator.clipboard.writeText(text);
    say(button, "Copied");
  } catch (error) {
    say(button, error instanceof TypeError ? "Failed" : "Not allowed");
  }
});

async function valueOf(button) {
  const address = button.closest("[data-values]").dataset.values;
  const answer = await fetch(`${address}?open=${button.dataset.copyValue}`);
  if (answer.ok) return answer.text();
  if (answer.status === 413) return null;
  throw new TypeError(answer.statusText);
}

function say(button, word) {
  const before = (button.dataset.word ??= button.textContent);
  button.textContent = word;
  announce([word]);
  setTimeout(() => (button.textContent = before), 1500);
}
