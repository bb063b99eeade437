"use strict";
// Buttons that copy an element's text. They are hidden until this script runs. Each says itself for two seconds what
// became of it, because the words for screen readers may be out of sight; a button that is an icon shows a tick.
for (const button of document.querySelectorAll("button[data-copy]")) {
  const label = button.querySelector("span");
  const words = label?.textContent;
  let timer;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    const text = source.value ?? source.textContent;
    const said = document.getElementById("copied");
    said.textContent = "";
    try {
      await navigator.clipboard.writeText(text); // works only on https and on localhost
      said.textContent = _("Copied.");
      button.classList.add("copied");
      if (label) label.textContent = _("Copied.");
    } catch {
      getSelection().selectAllChildren(source);
      source.select?.();
      if (label) label.textContent = _("Selected: press Ctrl and C");
      said.textContent = _("Your browser does not let a page copy. It is selected: copy it with Ctrl and C.");
    }
    clearTimeout(timer);
    timer = setTimeout(() => { button.classList.remove("copied"); if (label) label.textContent = words; }, 2000);
  });
}
