// Two buttons that copy a program, and the programs to look at.

import { el } from "./dom.js";

/** Draws the buttons into `into`; returns `show({ curl, python })`, which gives them what to copy. */
export function code(into) {
  const status = el("span", { role: "status", className: "note" });
  const blocks = {};
  const copiers = Object.entries({ curl: "curl", python: "Python" }).map(([name, label]) => {
    blocks[name] = el("pre", { tabIndex: 0, role: "region", "aria-label": label });
    const button = el("button", { type: "button", disabled: true, "data-copies": name }, `Copy as ${label}`);
    button.addEventListener("click", async () => {
      const done = await copy(blocks[name], details);
      status.textContent = done ? `${label} copied.` : "Selected: copy it with your keyboard.";
    });
    return button;
  });
  const shown = [el("h3", {}, "curl"), blocks.curl, el("h3", {}, "Python"), blocks.python];
  const details = el("details", {}, el("summary", {}, "Look at the code"), ...shown);
  const buttons = el("p", { className: "copies" }, ...copiers, status);
  into.replaceChildren(el("h2", {}, "The same from your code"), buttons, details);
  return (programs) => {
    for (const [name, text] of Object.entries(programs)) blocks[name].textContent = text;
    for (const button of copiers) button.disabled = false;
    status.textContent = "";
  };
}

async function copy(block, details) {
  try {
    await navigator.clipboard.writeText(block.textContent);
    return true;
  } catch {
    // no clipboard without https, but on loopback: the selection it is
    details.open = true;
    getSelection().selectAllChildren(block);
    return document.execCommand("copy");
  }
}
