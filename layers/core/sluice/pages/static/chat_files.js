"use strict";
// Files of a chat: sent as soon as they are chosen, and shown with their status, which changes by itself.
(() => {
  const button = document.getElementById("attach-file");
  const trouble = document.getElementById("trouble");
  const state = document.getElementById("state");
  const { pageOf, follow: becomes } = Sluice.chat;
  const MOST_FAILURES = 5;
  const MOST_MS = 600_000; // that it looks after a file which is being read
  let pauseMs = 1000, rounds = 0, failures = 0, until = Date.now() + MOST_MS;

  const show = (page) => document.getElementById("files").replaceWith(page.getElementById("files"));

  async function send(input) {
    const form = input.form;
    const [file] = input.files;
    if (!file) return;
    trouble.textContent = "";
    if (file.size > Number(form.dataset.mostBytes)) return (trouble.textContent = form.dataset.tooLarge);
    button.disabled = true;
    rounds++;
    state.textContent = _("Uploading %(name)s", { name: file.name });
    try {
      const answer = await fetch(form.action, { method: "POST", body: new FormData(form) });
      const page = await pageOf(answer);
      const at = new URL(answer.url).pathname;
      if (answer.ok && page.getElementById("files")) {
        if (at === location.pathname) show(page);
        else becomes(page, at); // it began a chat
        [pauseMs, failures, until] = [1000, 0, Date.now() + MOST_MS];
      } else {
        trouble.textContent = page.querySelector("main p")?.textContent ?? _("The file was not kept.");
      }
      state.textContent = "";
    } catch {
      state.textContent = "";
      trouble.textContent = _("The connection was lost. Attach the file again.");
    }
    button.disabled = false;
    follow();
  }

  // One round at a time; a round that began before a file was sent is out of date.
  async function follow(round = ++rounds) {
    if (!document.querySelector("#files [data-reading]") || failures >= MOST_FAILURES || Date.now() > until) return;
    await new Promise((go) => setTimeout(go, pauseMs));
    pauseMs = Math.min(pauseMs * 1.3, 15000);
    if (!document.hidden) await look(round);
    if (round === rounds) follow(round);
  }

  async function look(round) {
    try {
      const answer = await fetch(location.pathname, { redirect: "error" });
      failures = answer.ok ? 0 : failures + 1;
      const page = answer.ok && (await pageOf(answer));
      if (page && round === rounds && !document.getElementById("files").contains(document.activeElement)) show(page);
    } catch {
      failures++; // the next time it may be back
    }
  }

  button.hidden = false;
  button.closest(".foot").classList.add("scripted"); // hides the form
  button.addEventListener("click", () => document.getElementById("file").click());
  document.addEventListener("change", ({ target }) => target.id === "file" && send(target)); // chat.js replaces it, too
  follow();
})();
