"use strict";
// What the playground says below the conversation: that it waits, why a message was refused, and when to send again.
Sluice.chatWords = (() => {
  const composer = document.getElementById("newest");
  const state = document.getElementById("state");
  const trouble = document.getElementById("trouble");
  const spoken = document.getElementById("spoken");
  let restUntil = 0;
  const bubble = document.getElementById("toast");
  let toasting = 0; // the timer that empties it
  let silence = 0; // the timer that empties what screen readers read

  // Screen readers read the answer once, as a whole. It goes soon, because it stands in the conversation, too.
  function speak(words) {
    spoken.textContent = words;
    clearTimeout(silence);
    silence = setTimeout(() => (spoken.textContent = ""), 1000);
  }

  const tell = (words, isUnseen = false) => {
    if (words) trouble.textContent = "";
    state.textContent = words;
    state.classList.toggle("unseen", isUnseen || !words);
  };
  const warn = (words) => (trouble.textContent = words);

  function toast(words, ms = 2000) {
    bubble.textContent = words;
    clearTimeout(toasting);
    toasting = setTimeout(() => (bubble.textContent = ""), ms);
  }

  async function reason(response) {
    const problem = await response.json().catch(() => ({}));
    return { status: response.status, code: problem.code, words: problem.detail || "", seconds: Number(response.headers.get("Retry-After")) || 0, isHopeless: problem.code === "rate_limit_exceeded" && response.headers.get("x-should-retry") === "false" };
  }

  function explain(came, stopped) {
    if (stopped) return tell(came.text ? _("Stopped.") : _("Stopped before an answer came."));
    tell("");
    const refused = came.refused;
    if (came.inStream) return warn(came.inStream);
    if (!refused && (came.text || came.thought)) return warn(_("The connection was lost."));
    if (!refused) return warn(_("The server cannot be reached. Nothing was sent; your message is still in the box."));
    if (refused.status === 401) {
      warn(_("You are logged out. Your message is still in the box.") + " ");
      const link = Object.assign(document.createElement("a"), { href: composer.dataset.login, textContent: _("Log in again") });
      return trouble.append(link);
    }
    if (refused.code === "context_length_exceeded") {
      const also = document.getElementById("field-system").value ? " " + _("The system prompt counts, too.") : "";
      return warn(_("Your message is too long for the model. Shorten it, or send a part of it.") + also);
    }
    if (refused.isHopeless) return warn(`${refused.words} ${_("Waiting won't help: ask the operator of this site to raise the limit.")}`);
    if (!refused.seconds) return warn(refused.words || _("That did not work. Try it once more."));
    warn(`${refused.words} `);
    countDown(refused.seconds);
  }

  // Whether the partial answer was saved, once that is known.
  function conclude(stopped, isKept) {
    const said = stopped ? state : trouble;
    said.textContent += " " + (isKept ? _("The partial answer was saved.") : _("Copy what you need: it may not be saved."));
  }

  function inWords(seconds) {
    const size = [86400, 3600, 60, 1].find((least) => seconds >= 2 * least || least === 1);
    const count = Math.ceil(seconds / size);
    if (size === 86400) return ngettext("%(num)s day", "%(num)s days", count);
    if (size === 3600) return ngettext("%(num)s hour", "%(num)s hours", count);
    if (size === 60) return ngettext("%(num)s minute", "%(num)s minutes", count);
    return ngettext("%(num)s second", "%(num)s seconds", count);
  }

  // Counts the wait down in the warning, until another takes its place. A screen reader reads it once: timers are silent.
  function countDown(seconds) {
    const end = Date.now() + seconds * 1000;
    const left = document.createElement("span");
    left.setAttribute("role", "timer");
    left.setAttribute("aria-live", "off");
    const wait = (now) => (left.textContent = _("You can send again in %(duration)s.", { duration: inWords(now) }));
    wait(seconds);
    trouble.append(left);
    if (seconds <= 120) {
      restUntil = end;
      disable(true);
    }
    const timer = setInterval(() => {
      const now = Math.ceil((end - Date.now()) / 1000);
      if (now > 0 && left.isConnected) return wait(now);
      clearInterval(timer);
      if (!left.isConnected) return;
      restUntil = 0;
      disable(false);
      tell(_("You can send again now."));
    }, 1000);
  }

  function disable(isResting) {
    for (const button of document.querySelectorAll("form.ask button:not([type=button])")) button.disabled = isResting;
  }

  return { conclude, disable, explain, isResting: () => Date.now() < restUntil, reason, speak, tell, toast };
})();
