"use strict";
// Documents: files are sent one after another as soon as they are chosen or dropped, and the status of those being read
// changes by itself.
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
    const changed = [];
    for (const shown of document.querySelectorAll("[data-live]")) {
      const now = fresh.getElementById(shown.id);
      if (!now) shown.querySelector("[data-reading]")?.removeAttribute("data-reading"); // it was deleted elsewhere
      if (!now || now.innerHTML === shown.innerHTML) continue;
      shown.replaceChildren(...now.childNodes);
      changed.push(shown);
    }
    speak(changed);
  }

  // All at once: of two texts in a row, a screen reader says the second.
  function speak(changed) {
    const told = changed.filter((shown) => shown.dataset.live).map((shown) => `${shown.dataset.live}: ${shown.innerText}`);
    if (told.length) document.getElementById("said").textContent = told.join("\n");
  }

  const form = document.querySelector("form[data-most-bytes]");
  const input = form?.elements.file;
  const waiting = []; // pairs of a file and its row
  let isSending = false, kept = 0;

  function element(name, text, kind = "") {
    const made = document.createElement(name);
    made.textContent = text;
    made.className = kind;
    return made;
  }

  function row(file) {
    const made = document.createElement("li"), bar = document.createElement("progress");
    const kib = file.size / 1024;
    bar.max = file.size || 1;
    bar.value = 0;
    bar.setAttribute("aria-label", _("Uploading %(name)s", { name: file.name }));
    const size = kib < 1024 ? `${Math.ceil(kib)} KiB` : `${(kib / 1024).toFixed(1)} MiB`;
    made.append(element("bdi", file.name), element("span", size, "hint"), bar);
    document.getElementById("uploads").append(made);
    return made;
  }

  function refuse(line, why) {
    line.querySelector("progress").remove();
    const problem = element("p", why, "problem");
    problem.setAttribute("role", "alert");
    line.append(problem);
  }

  // Resolves to the page that answers, or to nothing if the connection was lost.
  function post(file, bar) {
    const body = new FormData(form), request = new XMLHttpRequest();
    body.set("file", file);
    request.upload.onprogress = (event) => (bar.value = (event.loaded / event.total) * bar.max);
    return new Promise((resolve) => {
      request.onload = () => resolve(parsed(request.responseText));
      request.onerror = () => resolve(null);
      request.open("POST", form.action);
      request.send(body);
    });
  }

  async function send(file, line) {
    const page = await post(file, line.querySelector("progress"));
    if (!page) return refuse(line, _("The connection was lost. Upload it again."));
    const wrong = page.getElementById("problem-file")?.textContent;
    const list = page.getElementById("documents");
    if (list) replace(list);
    if (!list || wrong) return refuse(line, wrong || page.querySelector("main p")?.textContent || _("It was not kept."));
    line.remove();
    kept += 1;
  }

  // A small file may be read before its row is shown for the first time: its status is spoken then.
  function replace(list) {
    const before = new Map([...document.querySelectorAll("[data-live]")].map((shown) => [shown.id, shown.innerHTML]));
    document.getElementById("documents").replaceWith(list);
    const isNew = (shown) => before.get(shown.id) !== shown.innerHTML && !shown.querySelector("[data-reading]");
    speak([...list.querySelectorAll("[data-live]")].filter(isNew));
  }

  async function sendAll() {
    if (isSending) return;
    isSending = true;
    kept = 0;
    for (let next; (next = waiting.shift()); ) await send(...next);
    isSending = false;
    document.getElementById("sending").textContent =
      kept === 0 ? "" : kept === 1 ? _("Uploaded. Reading it now…") : _("%(count)s files uploaded. Reading them now…", { count: kept });
    follow();
  }

  function take(files) {
    if (!isSending) {
      document.getElementById("uploads").replaceChildren(); // what was refused the last time
      document.getElementById("sending").textContent = "";
    }
    for (const file of files) {
      const line = row(file);
      if (file.size > Number(form.dataset.mostBytes)) refuse(line, form.dataset.tooLarge);
      else waiting.push([file, line]);
    }
    input.value = "";
    sendAll();
  }

  if (form) {
    form.querySelector("button").hidden = true;
    input.addEventListener("change", () => take([...input.files]));
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    for (const kind of ["dragover", "dragleave", "drop"]) {
      addEventListener(kind, (event) => {
        if (!hasFiles(event)) return;
        event.preventDefault();
        form.classList.toggle("over", kind === "dragover");
        if (kind === "drop") take([...event.dataTransfer.files]);
      });
    }
  }
  follow();
})();
