"use strict";
// Files of a chat: sent as soon as they are chosen, and shown with their status, which changes by itself.
(() => {
  const button = document.getElementById("attach-file");
  const trouble = document.getElementById("trouble");
  const state = document.getElementById("state");
  const parsed = async (answer) => new DOMParser().parseFromString(await answer.text(), "text/html");
  let pauseMs = 1000, rounds = 0;

  const show = (page) => document.getElementById("files").replaceWith(page.getElementById("files"));

  async function send(input) {
    const form = input.form;
    const [file] = input.files;
    if (!file) return;
    trouble.textContent = "";
    if (file.size > Number(form.dataset.mostBytes)) return (trouble.textContent = form.dataset.tooLarge);
    button.disabled = true;
    rounds++;
    state.textContent = `Uploading ${file.name}`;
    try {
      const answer = await fetch(form.action, { method: "POST", body: new FormData(form) });
      const page = await parsed(answer);
      const at = new URL(answer.url).pathname;
      if (answer.ok && page.getElementById("files")) {
        if (at !== location.pathname) return location.assign(at); // it began a chat
        show(page);
        pauseMs = 1000;
      } else {
        trouble.textContent = page.querySelector("main p")?.textContent ?? "The file was not kept.";
      }
      state.textContent = "";
    } catch {
      state.textContent = "";
      trouble.textContent = "The connection was lost. Attach the file again.";
    }
    button.disabled = false;
    follow();
  }

  // One round at a time; a round that began before a file was sent is out of date.
  async function follow(round = ++rounds) {
    if (!document.querySelector("#files [data-reading]")) return;
    await new Promise((go) => setTimeout(go, pauseMs));
    pauseMs = Math.min(pauseMs * 1.3, 15000);
    try {
      const answer = await fetch(location.pathname, { redirect: "error" });
      const page = answer.ok && (await parsed(answer));
      if (page && round === rounds && !document.getElementById("files").contains(document.activeElement)) show(page);
    } catch {
      // the next time it may be back
    }
    if (round === rounds) follow(round);
  }

  button.hidden = false;
  button.closest(".foot").classList.add("scripted"); // hides the form
  button.addEventListener("click", () => document.getElementById("file").click());
  document.addEventListener("change", ({ target }) => target.id === "file" && send(target)); // chat.js replaces it, too
  follow();
})();
