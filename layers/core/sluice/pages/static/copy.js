"use strict";
// Buttons that copy what an element shows. They are hidden until this is here.
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    const words = source.value ?? source.textContent;
    const said = document.getElementById("copied");
    said.textContent = "";
    try {
      await navigator.clipboard.writeText(words); // only on https and on this machine itself
      said.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(source);
      source.select?.();
      said.textContent = "Your browser does not let a page copy. It is selected: copy it with Ctrl and C.";
    }
  });
}
