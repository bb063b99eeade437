"use strict";
// Documents: files are checked and sent one after another, and the status of those being read changes by itself.
(() => {
  const parsed = (text) => new DOMParser().parseFromString(text, "text/html");
  let pause_ms = 1000, timer;

  async function follow() {
    if (!document.querySelector("[data-reading]")) return;
    if (!document.hidden) {
      pause_ms = Math.min(pause_ms * 1.3, 15000);
      try {
        const answer = await fetch(location.pathname, { redirect: "error" });
        if (answer.ok) update(parsed(await answer.text()));
      } catch {
        // the server or the session is away: the next time it may be back
      }
    }
    clearTimeout(timer);
    timer = setTimeout(follow, pause_ms);
  }

  function update(fresh) {
    for (const shown of document.querySelectorAll("[data-live]")) {
      const now = fresh.getElementById(shown.id);
      if (!now) shown.querySelector("[data-reading]")?.removeAttribute("data-reading"); // it was deleted elsewhere
      if (!now || now.innerHTML === shown.innerHTML) continue;
      shown.replaceChildren(...now.childNodes);
      if (shown.dataset.live) document.getElementById("said").textContent = `${shown.dataset.live}: ${shown.innerText}`;
    }
  }

  const form = document.querySelector("form[data-most-bytes]");
  const input = form?.elements.file;

  function say(problems) {
    const place = document.getElementById("problem-file");
    place.textContent = problems.join(" ");
    place.parentElement.classList.toggle("wrong", problems.length > 0);
    input.setAttribute("aria-invalid", problems.length > 0);
  }

  function check() {
    const most = Number(form.dataset.mostBytes);
    const problems = [...input.files].filter((file) => file.size > most);
    say(problems.map((file) => `${file.name} ${form.dataset.tooLarge}`));
    return problems.length === 0;
  }

  // What is wrong with the file, or the list with it if it is kept.
  async function send(file) {
    const body = new FormData(form);
    body.set("file", file);
    try {
      const answer = await fetch(form.action, { method: "POST", body });
      const page = parsed(await answer.text());
      const list = answer.ok && page.getElementById("documents");
      if (list) return { list };
      const wrong = page.getElementById("problem-file")?.textContent;
      return { wrong: wrong || `${file.name}: ${page.querySelector("main p")?.textContent ?? "it was not kept."}` };
    } catch {
      return { wrong: `${file.name}: the connection was lost. Try it again.` };
    }
  }

  async function sendAll() {
    const problems = [], sending = document.getElementById("sending"), files = [...input.files];
    form.querySelector("button").disabled = true;
    for (const [done, file] of files.entries()) {
      sending.textContent = `Uploading ${done + 1} of ${files.length}: ${file.name}`;
      const { wrong, list } = await send(file);
      if (wrong) problems.push(wrong);
      else document.getElementById("documents").replaceWith(list);
    }
    sending.textContent = "";
    form.querySelector("button").disabled = false;
    if (problems.length === 0) return location.assign(`${form.action}?note=kept`);
    say(problems);
    input.focus();
    follow();
  }

  input?.addEventListener("change", check);
  form?.addEventListener("submit", (event) => {
    event.preventDefault();
    if (check()) sendAll();
    else input.focus();
  });
  follow();
})();
