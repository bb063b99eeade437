"use strict";
// Buttons that copy an element's text. They are hidden until this script runs.
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    const words = source.value ?? source.textContent;
    const said = document.getElementById("copied");
    said.textContent = "";
    try {
      await navigator.clipboard.writeText(words); // works only on https and on localhost
      said.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(source);
      source.select?.();
      said.textContent = "Your browser does not let a page copy. It is selected: copy it with Ctrl and C.";
    }
  });
}
