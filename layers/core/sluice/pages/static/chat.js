"use strict";
// The playground: sends a message, and shows its answer while it streams. The answer goes on without its reader, and is
// followed after a lost connection or a reload. Each form also works without this script, by a normal submit.
(() => {
  const { inSeconds, read, think } = Sluice.chatAnswer;
  const { conclude, disable, explain, isResting, reason, speak, tell } = Sluice.chatWords;
  const composer = document.getElementById("newest");
  const box = document.getElementById("content");
  const stopButton = document.getElementById("stop");
  const pane = document.getElementById("pane");
  const PARTS = ["turns", "length", "files", "chat-head", "chat-list", "chosen"]; // of the page, replaced by what the server has
  const sources = new WeakMap(); // an answer's element → its Markdown
  const turns = () => document.getElementById("turns");
  let running = null; // the AbortController of the running answer

  const hasKeys = window.matchMedia("(pointer: fine)").matches; // on a phone Enter inserts a new line
  document.querySelector(".with-script").hidden = !hasKeys;
  formatAll();
  loadModels();
  if (!document.querySelector(".note, .problems, .actions.card")) {
    atEnd(true); // those are at the top
    if (hasKeys && !turns().children.length) box.focus({ preventScroll: true });
  }

  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form.ask")) return;
    event.preventDefault();
    if (running || isResting()) return;
    const form = new FormData(event.target);
    const replaces = form.get("replaces") || null;
    const content = (form.get("content") ?? wordsOf(replaces)).replaceAll("\r\n", "\n");
    if (content.trim()) ask(content, replaces, event.target === composer);
  });
  stopButton.addEventListener("click", stop);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229 || !hasKeys || !event.target.matches("form.ask textarea")) return;
    event.preventDefault();
    event.target.form.requestSubmit();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.isComposing || document.querySelector(":popover-open")) return;
    const edit = event.target.closest?.(".edit[open]");
    if (!edit) return stop();
    edit.open = false;
    edit.querySelector("form").reset(); // at once: the event of closing is lost where it is opened again soon
    edit.querySelector("summary").focus();
  });
  // The event does not bubble.
  document.addEventListener("toggle", ({ target }) => {
    if (!target.matches(".edit")) return;
    if (target.open) target.querySelector("textarea").focus();
    else target.querySelector("form").reset();
  }, true);

  if (!CSS.supports("field-sizing", "content")) {
    box.addEventListener("input", () => {
      box.style.height = "auto";
      box.style.height = `${box.scrollHeight}px`;
    });
  }

  const isLogin = (response) => new URL(response.url).pathname.endsWith("/login");
  const pageOf = async (response) => new DOMParser().parseFromString(await response.text(), "text/html");

  // Makes this page that of the chat that was begun.
  function follow(page, url) {
    const begun = page.getElementById("newest");
    composer.setAttribute("action", begun.getAttribute("action"));
    Object.assign(composer.dataset, begun.dataset);
    document.getElementById("settings").replaceWith(page.getElementById("settings"));
    loadModels();
    history.replaceState(null, "", url);
    replaceParts(page, PARTS.slice(1));
    box.dispatchEvent(new Event("input")); // what is in it belongs to that chat now
  }

  // The function that has the page does not know the models.
  async function loadModels() {
    const select = document.getElementById("field-model");
    const response = await fetch(select.dataset.models, { redirect: "error" }).catch(() => null);
    if (!response?.ok) return;
    select.replaceChildren(...(await pageOf(response)).querySelectorAll("option"));
    nameModel();
  }

  function nameModel() {
    const words = document.querySelector("#chosen .words");
    const first = document.querySelector("#field-model option").textContent;
    const [, name] = /\((.+)\)$/.exec(first) ?? [];
    if (name) words.textContent = words.textContent.replace(_("Default model"), name);
  }

  // Stores the chat of a first message. → why it could not be
  async function begin() {
    const body = new URLSearchParams({ form_token: composer.elements.form_token.value });
    const response = await fetch(composer.action, { method: "POST", body, signal: running.signal });
    if (isLogin(response)) return { status: 401 };
    const page = await pageOf(response);
    if (!response.ok) return { status: response.status, words: page.querySelector("main p")?.textContent.trim() };
    follow(page, response.url);
    return null;
  }

  async function ask(content, replaces, isNew) {
    running = new AbortController();
    rest(true);
    tell(_("Waiting for the answer."), true);
    const dropped = replaces ? dropFrom(replaces) : [];
    const question = add("user", content);
    const answer = add("assistant", "");
    const said = answer.querySelector(".said");
    if (isNew) write("");
    const came = nothing();
    const began = performance.now();
    atEnd(true);
    const draw = drawer(answer, came);
    try {
      if (!composer.dataset.stream) came.refused = await begin();
      const response = came.refused ? null : await send(content, replaces);
      if (response && !response.ok) {
        came.refused = await reason(response);
      } else if (response) {
        came.questionId = response.headers.get("x-sluice-message-id");
        await read(response, came, draw);
      }
    } catch (error) {
      came.error = error;
    }
    draw.now();
    const isBegun = came.text || came.thought || came.inStream || came.questionId;
    const isLost = isBegun && !came.ended && !came.inStream && !running.stopped;
    if (isLost) {
      tell(_("The connection was lost. The answer goes on…"));
      await watch(came, draw);
      draw.now();
    }
    let { stopped } = running;
    running = null;
    speak(said.textContent);
    rest(false);
    if (came.ended) return finished(answer, came, performance.now() - began);
    if (!isBegun) {
      // There was no answer: what was sent can be sent again.
      question.remove();
      answer.remove();
      dropped.forEach((turn) => (turn.hidden = false));
      if (!turns().children.length) document.getElementById("nothing-yet")?.removeAttribute("hidden");
      if (isNew) write(content);
    } else {
      dropped.forEach((turn) => turn.remove());
      answer.classList.add("early");
      answer.querySelector(".amounts").textContent = stopped ? _("Stopped") : _("Interrupted");
    }
    const isKept = (stopped || isBegun) && (await refresh((page) => hasAnswer(page, came)));
    if (running) return;
    if (isLost && isKept) {
      if (!turns().querySelector(":scope > .early:last-child")) return tell("");
      stopped = true; // in another window
    }
    explain(came, stopped);
    if (came.refused?.code === "conflict" && (await refresh())) return resume();
    if (!came.text) return;
    conclude(stopped, isKept);
    const label = !stopped && turns().querySelector(":scope > :last-child .amounts strong");
    if (label) label.textContent = _("Interrupted"); // the server does not know which
  }

  const nothing = () => ({ text: "", thought: "", thoughtMs: 0, usage: null, ended: false, refused: null });
  const pause = (ms) => new Promise((go) => setTimeout(go, ms));
  const answerAddress = () => composer.dataset.stream.replace(/messages$/, "answer");

  // The server stores what came of the answer and ends the stream.
  async function stop() {
    if (!running || running.stopped) return;
    const stopping = running;
    stopping.stopped = true;
    if (!composer.dataset.stream) return stopping.abort();
    tell(_("Stopping…"), true);
    while (running === stopping) {
      await fetch(`${answerAddress()}/cancel`, { method: "POST", redirect: "error" }).catch(() => stopping.abort());
      await pause(1000);
    }
  }

  // Follows the answer that is running, also over lost connections, to its end.
  async function watch(came, draw) {
    for (let failed = 0; failed < 60 && !came.ended && !running.signal.aborted; failed++) {
      try {
        const response = await fetch(answerAddress(), { signal: running.signal, redirect: "error" });
        if ([401, 404].includes(response.status)) return; // it is over
        came.attempt = null; // it begins anew
        if (response.ok) {
          failed = 0;
          await read(response, came, draw);
        }
      } catch {
        // once more
      }
      if (!came.ended) await pause(2000);
    }
  }

  // Shows an answer that was asked for elsewhere.
  async function resume() {
    if (running || !("running" in turns().dataset)) return;
    running = new AbortController();
    rest(true);
    const isRefused = document.getElementById("trouble").textContent; // it says why
    if (!isRefused) tell(_("Still being answered…"));
    const came = nothing();
    const answer = add("assistant", "");
    const draw = drawer(answer, came);
    atEnd(true);
    await watch(came, draw);
    draw.now();
    running = null;
    rest(false);
    answer.remove();
    const isThere = await refresh();
    tell(!isThere ? _("The connection was lost. Reload the page.") : isRefused ? _("You can send again now.") : "");
    speak(turns().querySelector(":scope > :last-child .said")?.textContent ?? "");
  }

  function send(content, replaces) {
    return fetch(composer.dataset.stream, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
      body: JSON.stringify({ content, ...(replaces ? { replaces } : {}), ...more() }),
      signal: running.signal,
      redirect: "error",
    });
  }

  // Further fields of the message, from inputs outside the form that refer to it.
  function more() {
    const given = {};
    for (const input of document.querySelectorAll("[data-message-field]")) {
      given[input.dataset.messageField] = input.type === "checkbox" ? input.checked : input.value;
    }
    return given;
  }

  // Limits how often it draws, so that drawing takes a small share of the time even for a long answer.
  function drawer(turn, came) {
    const said = turn.querySelector(".said");
    let timer = null;
    let pause = 50;
    const draw = () => {
      timer = null;
      const began = performance.now();
      const follow = atEnd();
      if (came.thought) think(turn.querySelector(".thought"), came);
      if (came.text) format(said, came.text);
      if (follow) atEnd(true);
      pause = Math.max(50, 4 * (performance.now() - began));
    };
    return {
      soon: () => (timer ??= setTimeout(draw, pause)),
      now: () => {
        clearTimeout(timer);
        draw();
      },
    };
  }

  async function finished(answer, came, tookMs) {
    const used = came.usage;
    const counts = used ? _("%(prompt)s in · %(completion)s out", { prompt: used.prompt_tokens, completion: used.completion_tokens }) + " · " : "";
    answer.querySelector(".amounts").textContent = counts + inSeconds(tookMs);
    tell("");
    await refresh();
  }

  // Replaces the turn by what the server stored: message ids, the chat's new name, amounts. If that fails, the page
  // stays as it is.
  async function refresh(isReady = () => true) {
    try {
      const response = await fetch(composer.dataset.page, { redirect: "error" });
      if (!response.ok) return false;
      const page = await pageOf(response);
      if (running || !isReady(page)) return false;
      const follow = atEnd();
      replaceParts(page, PARTS);
      if (follow) atEnd(true);
      return true;
    } catch {
      return false;
    }
  }

  function replaceParts(page, ids) {
    for (const id of ids) document.getElementById(id).replaceWith(page.getElementById(id));
    const name = document.getElementById("field-title");
    const named = page.getElementById("field-title");
    if (name && named && name.value === name.defaultValue) name.value = name.defaultValue = named.value;
    document.title = page.title;
    if (page.querySelector("#turns > li")) document.getElementById("nothing-yet")?.remove();
    formatAll();
    nameModel();
    keepFocus();
  }

  // Whether the page has what came of an answer.
  function hasAnswer(page, came) {
    if (!came.text) return true;
    const [asked, answer] = [...page.querySelectorAll("#turns > .turn")].slice(-2);
    if (!answer?.matches(".assistant") || asked.querySelector("[name=replaces]")?.value !== came.questionId) return false;
    return answer.querySelector(".said").textContent.startsWith(came.text.slice(0, 200).replaceAll("\r\n", "\n"));
  }

  // The element with the focus may have been replaced. On a phone do not focus the box: that would open the keyboard.
  function keepFocus() {
    if (hasKeys && document.activeElement === document.body) box.focus({ preventScroll: true });
  }

  function rest(isRunning) {
    disable(isRunning);
    stopButton.hidden = !isRunning;
    document.getElementById("send").hidden = isRunning;
    turns().classList.toggle("running", isRunning);
    if (!isRunning) keepFocus();
  }

  function write(words) {
    box.value = words;
    box.dispatchEvent(new Event("input"));
  }

  function format(said, text) {
    sources.set(said, text);
    Sluice.markdown(said, text);
  }

  function add(role, text) {
    const turn = document.getElementById(`turn-${role}`).content.cloneNode(true).firstElementChild;
    turn.querySelector(".said").textContent = text;
    document.getElementById("nothing-yet")?.setAttribute("hidden", "");
    turns().append(turn);
    return turn; // its buttons wait for what the server stores
  }

  const turnOf = (messageId) => document.getElementById(`edit-${messageId}`)?.closest("li");
  const wordsOf = (messageId) => document.getElementById(`edit-${messageId}`)?.defaultValue ?? "";

  // The turns that a message replaces when it is sent again.
  function dropFrom(messageId) {
    const all = [...turns().children];
    const first = all.indexOf(turnOf(messageId));
    const dropped = first < 0 ? [] : all.slice(first);
    dropped.forEach((turn) => (turn.hidden = true));
    return dropped;
  }

  function formatAll() {
    for (const said of document.querySelectorAll("#turns .markdown:not(.formatted)")) format(said, said.textContent);
    for (const button of document.querySelectorAll("#turns .copy")) button.hidden = false;
  }

  // Whether the end of the conversation is visible; with `true`, scrolls there. In a low window the page scrolls, and the
  // composer is below the conversation.
  function atEnd(go) {
    const isPage = getComputedStyle(pane).overflowY === "visible";
    const scrolled = isPage ? document.scrollingElement : pane;
    const end = isPage ? pane.getBoundingClientRect().bottom + window.scrollY : pane.scrollHeight;
    const height = isPage ? window.innerHeight : pane.clientHeight;
    if (go) scrolled.scrollTop = end - height;
    return end - scrolled.scrollTop - height < 80;
  }

  // For what else is done on the page, in chat_menu.js.
  const address = () => new URL(composer.dataset.page, location).href;
  Sluice.chat = { refresh, follow, pageOf, isLogin, address, markdownOf: (said) => sources.get(said) };
  resume();
})();
