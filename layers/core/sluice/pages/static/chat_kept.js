"use strict";
// What outlives a reload: the words in the box, which this tab keeps for each chat.
(() => {
  const { address } = Sluice.chat;
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

  window.addEventListener("pagehide", keep);
})();
