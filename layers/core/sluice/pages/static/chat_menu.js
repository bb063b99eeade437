"use strict";
// What is done beside asking: a chat is renamed, deleted or configured, an answer copied. Without this script the same
// forms load a page.
(() => {
  const { refresh, follow, pageOf, isLogin, address, markdownOf } = Sluice.chat;
  const say = Sluice.chatWords.toast;
  const menu = document.getElementById("chat-menu");
  const search = document.getElementById("chat-search");
  let typing = 0; // the timer that waits for the end of a word

  document.addEventListener("submit", (event) => {
    if (event.target.matches("[popover] form.quiet")) keep(event);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("a.more, button.copy");
    if (!button || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (button.matches(".copy")) return copy(button);
    open(button);
  });

  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(find, 250);
  });

  async function find() {
    const words = search.value;
    const response = await fetch(`${search.form.action}?${new URLSearchParams({ q: words })}`, { redirect: "error" }).catch(() => null);
    if (!response?.ok || search.value !== words) return; // the next one is on its way
    document.getElementById("chat-list").replaceWith((await pageOf(response)).getElementById("chat-list"));
  }

  function open(button) {
    const chat = new URL(button.href).pathname.split("/").at(-1);
    const title = button.closest("li")?.querySelector(".chat-link") ?? document.getElementById("chat-title");
    menu.replaceChildren(document.getElementById("manage").content.cloneNode(true));
    for (const [name, all] of [["action", "form"], ["href", "a"]]) {
      for (const it of menu.querySelectorAll(all)) it.setAttribute(name, it.getAttribute(name).replace("CHAT", chat));
    }
    menu.querySelector("[name=title]").value = title.textContent;
    menu.showPopover({ source: button });
    if (button.matches(":focus-visible")) menu.querySelector("[name=title]").focus();
  }

  // Renames, deletes or configures a chat without leaving the page. What is wrong with the form its own page says.
  async function keep(event) {
    event.preventDefault();
    const form = event.target;
    const body = new URLSearchParams(new FormData(form));
    const response = await fetch(form.action, { method: "POST", body }).catch(() => null);
    if (!response?.ok || isLogin(response)) return form.submit();
    form.closest("[popover]").hidePopover();
    const isDeleted = form.action.endsWith("/delete");
    if (form.action === address()) follow(await pageOf(response), response.url); // it was a new one
    else if (isDeleted && form.action === `${address()}/delete`) return location.assign(response.url);
    else await refresh();
    say(isDeleted ? _("Chat deleted") : _("Saved"));
  }

  async function copy(button) {
    const said = button.closest(".turn").querySelector(".said");
    try {
      await navigator.clipboard.writeText(markdownOf(said) ?? said.textContent); // works only on https and on localhost
      say(_("Copied"));
    } catch {
      getSelection().selectAllChildren(said);
      say(_("Selected: press Ctrl and C to copy"));
    }
  }
})();
