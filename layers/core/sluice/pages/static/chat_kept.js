"use strict";
// What outlives a reload: the words in the box, which this tab keeps for each chat, and an answer that is still coming.
(() => {
  const { add, address, isRunning, refresh } = Sluice.chat;
  const { tell } = Sluice.chatWords;
  const composer = document.getElementById("newest");
  const box = document.getElementById("content");
  const MOST_CHARACTERS = 500_000; // of all drafts; the oldest go first
  const name = () => `${composer.dataset.person} ${address()}`;
  let keptAs = name();
  let typing = 0; // the timer that waits for the end of a word

  // A browser that stores nothing for this site throws.
  function stored(key) {
    try {
      return sessionStorage.getItem(key);
    } catch {
      return null;
    }
  }

  function store(key, text) {
    try {
      if (text) sessionStorage.setItem(key, text);
      else sessionStorage.removeItem(key);
    } catch {
      // then it is not kept
    }
  }

  const drafts = () => JSON.parse(stored("drafts") ?? "[]"); // pairs of a name and words, the newest last

  function keep() {
    const all = drafts().filter(([other]) => ![keptAs, name()].includes(other));
    keptAs = name(); // another one, once the chat is begun
    if (box.value.trim()) all.push([keptAs, box.value]);
    while (JSON.stringify(all).length > MOST_CHARACTERS) all.shift();
    store("drafts", all.length && JSON.stringify(all));
  }

  const draft = drafts().find(([one]) => one === name())?.[1];
  if (draft && !box.value) {
    box.value = draft;
    box.dispatchEvent(new Event("input"));
  }
  box.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(keep, 300);
  });

  const wasLeft = stored("left") === name();
  store("left", "");
  window.addEventListener("pagehide", () => {
    keep();
    if (isRunning()) store("left", name());
  });

  const shown = () => !document.hidden || new Promise((go) => document.addEventListener("visibilitychange", () => go(shown()), { once: true }));

  // The server stores what came of an answer once it notices that nobody reads it.
  async function wait() {
    const turns = document.getElementById("turns");
    if (!(wasLeft || "fresh" in turns.dataset) || !turns.lastElementChild?.matches(".user")) return;
    const answer = add("assistant", "");
    answer.classList.add("awaited");
    turns.classList.add("running");
    tell("Still being answered…");
    for (const seconds of [1, 2, 4, 8, 15, 30]) {
      await new Promise((go) => setTimeout(go, seconds * 1000));
      await shown();
      if (!answer.isConnected || (await refresh((page) => page.querySelector("#turns > .assistant:last-child")))) break;
    }
    if (isRunning()) return;
    tell("");
    answer.remove();
    turns.classList.remove("running");
  }
  wait();
})();
