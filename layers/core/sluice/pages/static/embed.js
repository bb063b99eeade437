// A chat with a model, in any page, where its script stands:
// <script src="https://…/embed.js" data-token="pk_…" data-model="…"></script>
// Optional: data-lang ("en", "zh-Hant", "ja"; else the page's), data-theme ("light", "dark"; else the page's).
// It needs `script-src` and `connect-src` of this address in the page's policy, and nothing else. No cookie.
(() => {
  "use strict";

  const WORDS = {
    en: {
      title: (model) => `Chat with ${model}`, message: "Message", send: "Send", stop: "Stop", clear: "Clear",
      you: "You", answering: "Answering…", stopped: "Stopped.", cleared: "Cleared.", done: "The answer is complete.",
      hint: "Answers are written by a language model and may be wrong.",
      minute: (wait) => `You have sent many messages. You can go on in ${wait}.`,
      day: (wait) => `The messages of this page are used up for today. Come back in ${wait}.`,
      busy: (wait) => `Many people are asking just now. Try again in ${wait}.`,
      budget: "The budget of this page is used up.", origin: (here) => `This chat is not set up for ${here}.`,
      ended: "This chat is not available any more.", model: "The model of this chat is not available.",
      long: "This conversation is too long for the model. Clear it to begin anew.",
      cut: "The answer broke off. Try again.", away: "The model cannot be reached. Try again in a moment.",
      seconds: (n) => (n === 1 ? "1 second" : `${n} seconds`), minutes: (n) => (n === 1 ? "1 minute" : `${n} minutes`),
      hours: (n) => (n === 1 ? "1 hour" : `${n} hours`),
    },
    "zh-Hant": {
      title: (model) => `與 ${model} 對話`, message: "訊息", send: "傳送", stop: "停止", clear: "清除",
      you: "你", answering: "正在回答…", stopped: "已停止。", cleared: "已清除。", done: "回答完畢。",
      hint: "回答由語言模型產生，可能有誤。",
      minute: (wait) => `你剛才傳送了許多訊息，請在${wait}後再繼續。`,
      day: (wait) => `這個頁面今天的使用次數已用完，請在${wait}後再來。`,
      busy: (wait) => `目前使用的人較多，請在${wait}後再試。`,
      budget: "這個頁面的額度已用完。", origin: (here) => `這個對話未開放給 ${here} 使用。`,
      ended: "這個對話已停止服務。", model: "目前無法使用這個模型。",
      long: "對話太長，模型無法讀完。請清除後重新開始。",
      cut: "回答中斷了，請再試一次。", away: "無法連線到模型，請稍後再試。",
      seconds: (n) => ` ${n} 秒`, minutes: (n) => ` ${n} 分鐘`, hours: (n) => ` ${n} 小時`,
    },
    ja: {
      title: (model) => `${model} とチャット`, message: "メッセージ", send: "送信", stop: "停止", clear: "消去",
      you: "あなた", answering: "回答中…", stopped: "停止しました。", cleared: "消去しました。", done: "回答が完了しました。",
      hint: "回答は言語モデルが生成したもので、誤りを含むことがあります。",
      minute: (wait) => `続けて送信されたため、少しお待ちください。あと${wait}で再開できます。`,
      day: (wait) => `このページの本日の利用回数が上限に達しました。あと${wait}でまた使えます。`,
      busy: (wait) => `混み合っています。${wait}後にもう一度お試しください。`,
      budget: "このページの予算を使い切りました。", origin: (here) => `このチャットは ${here} では使えません。`,
      ended: "このチャットは終了しました。", model: "このモデルは現在使えません。",
      long: "会話が長すぎてモデルが読み切れません。消去してやり直してください。",
      cut: "回答が途中で切れました。もう一度お試しください。", away: "モデルに接続できません。しばらくしてからお試しください。",
      seconds: (n) => ` ${n} 秒`, minutes: (n) => ` ${n} 分`, hours: (n) => ` ${n} 時間`,
    },
  };

  const STYLE = `
    :host { all: initial; color-scheme: inherit; display: block; margin-block: 1rem; }
    :host([data-theme="light"]) { color-scheme: light; }
    :host([data-theme="dark"]) { color-scheme: dark; }
    section {
      --ink: light-dark(#1b1f24, #e9ecef); --soft: light-dark(#57606a, #a7b0ba);
      --card: light-dark(#ffffff, #15181c); --mine: light-dark(#eef2f7, #232a32); --line: light-dark(#d5dae1, #363d46);
      --edge: light-dark(#7d8590, #7d8590); --accent: light-dark(#0a5bb5, #84bbff); --on: light-dark(#ffffff, #0b1826);
      --bad: light-dark(#a4161a, #ff9c95);
      box-sizing: border-box; max-inline-size: 44rem; padding: 1rem; border: 1px solid var(--line); border-radius: 12px;
      background: var(--card); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; text-align: start;
    }
    *, ::before { box-sizing: border-box; font: inherit; }
    h2 { margin: 0 0 .75rem; font-size: 1.05rem; font-weight: 600; overflow-wrap: anywhere; }
    [role="log"] { display: grid; gap: .75rem; max-block-size: 24rem; overflow-y: auto; overscroll-behavior: contain; }
    [role="log"]:not(:empty) { margin-block-end: .75rem; }
    article { overflow-wrap: anywhere; }
    article p { margin: 0; white-space: pre-wrap; }
    article b { display: block; color: var(--soft); font-size: .8125rem; font-weight: 600; }
    .mine { justify-self: end; max-inline-size: 85%; padding: .5rem .75rem; border-radius: 10px; background: var(--mine); }
    label { display: block; margin-block-end: .25rem; font-size: .875rem; font-weight: 600; }
    textarea {
      display: block; inline-size: 100%; min-block-size: 3.25rem; max-block-size: 12rem; padding: .5rem .75rem;
      border: 1px solid var(--edge); border-radius: 8px; background: transparent; color: inherit; resize: vertical;
      field-sizing: content;
    }
    .row { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin-block-start: .5rem; }
    button {
      min-block-size: 2.75rem; padding: .25rem 1rem; border: 1px solid var(--edge); border-radius: 8px;
      background: transparent; color: inherit; cursor: pointer;
    }
    .send { border-color: var(--accent); background: var(--accent); color: var(--on); font-weight: 600; }
    :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
    [hidden] { display: none; }
    [role="status"] { flex: 1 1 10rem; margin: 0; color: var(--soft); font-size: .875rem; }
    [role="status"].bad { color: var(--bad); }
    small { display: block; margin-block-start: .5rem; color: var(--soft); font-size: .8125rem; }
    @media (forced-colors: active) { .send { border-width: 2px; } }`;

  const script = document.currentScript ?? document.querySelector('script[src*="/embed.js"][data-token]');
  const { token, model, theme } = script.dataset;
  const lang = wordsOf(script.dataset.lang || script.closest("[lang]")?.lang || "");
  const words = WORDS[lang];
  const address = new URL("v1/chat/completions", script.src).href;

  function wordsOf(tag) {
    const primary = tag.toLowerCase().split("-")[0];
    return primary === "zh" ? "zh-Hant" : primary === "ja" ? "ja" : "en";
  }

  function make(name, parent, properties = {}, attributes = {}) {
    const it = Object.assign(document.createElement(name), properties);
    for (const [key, value] of Object.entries(attributes)) it.setAttribute(key, value);
    parent.append(it);
    return it;
  }

  class Refused extends Error {}

  const wait = (seconds) =>
    seconds < 90 ? words.seconds(seconds)
    : seconds < 5400 ? words.minutes(Math.ceil(seconds / 60)) : words.hours(Math.ceil(seconds / 3600));

  /** What a visitor is told of an answer that is an error. */
  async function told(answer) {
    const error = (await answer.json().catch(() => ({}))).error ?? {};
    const seconds = Number(answer.headers.get("retry-after")) || 1;
    if (answer.status === 429) {
      if (answer.headers.get("x-ratelimit-remaining-requests-day") === "0") return words.day(wait(seconds));
      const mine = answer.headers.get("x-ratelimit-remaining-requests") === "0";
      return (mine ? words.minute : words.busy)(wait(seconds));
    }
    if (error.code === "context_length_exceeded") return words.long;
    return { 401: words.ended, 402: words.budget, 403: words.origin(location.origin), 404: words.model }[answer.status]
      ?? words.away;
  }

  /** The pieces of a streamed answer. */
  async function* pieces(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = "", ended = false; !ended; ) {
      const { value = "", done } = await reader.read();
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data: ")) continue;
        if (line.startsWith("data: [DONE]")) return;
        const event = JSON.parse(line.slice(6));
        if (event.error) throw new Refused(words.cut);
        yield event.choices?.[0]?.delta?.content ?? "";
      }
      ended = done;
    }
    throw new Refused(words.cut);  // a whole answer ends with [DONE]
  }

  async function ask(messages, signal, show) {
    const answer = await fetch(address, {
      method: "POST", credentials: "omit", signal,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ model, messages, stream: true }),
    });
    if (!answer.ok) throw new Refused(await told(answer));
    for await (const piece of pieces(answer.body)) show(piece);
  }

  function build() {
    const host = document.createElement("div");
    host.lang = lang;
    if (theme) host.dataset.theme = theme;
    if (script.closest("body")) script.after(host);
    else document.body.append(host);
    const root = host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();  // not an element, so that a policy without 'unsafe-inline' allows it
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];

    const box = make("section", root, {}, { "aria-labelledby": "title" });
    make("h2", box, { id: "title", textContent: words.title(model) });
    const log = make("div", box, {}, { role: "log", "aria-labelledby": "title", tabindex: "0" });
    const form = make("form", box);
    make("label", form, { htmlFor: "message", textContent: words.message });
    const field = make("textarea", form, { id: "message", rows: 2, maxLength: 8000, required: true });
    const row = make("div", form, { className: "row" });
    const send = make("button", row, { className: "send", textContent: words.send });
    const stop = make("button", row, { type: "button", textContent: words.stop, hidden: true });
    const clear = make("button", row, { type: "button", textContent: words.clear, hidden: true });
    const status = make("p", row, {}, { role: "status" });
    make("small", box, { textContent: words.hint });

    let messages = [], running = null;

    const say = (text, bad = false) => { status.textContent = text; status.classList.toggle("bad", bad); };

    function turn(who, text) {
      const article = make("article", log, { className: who === words.you ? "mine" : "" });
      make("b", article, { textContent: who });
      return make("p", article, { textContent: text, dir: "auto" });
    }

    function working(now) {
      running = now;
      log.setAttribute("aria-busy", String(Boolean(now)));  // it is read aloud when it is whole
      send.hidden = Boolean(now);
      stop.hidden = !now;
      clear.hidden = Boolean(now) || !messages.length;
    }

    async function exchange(text) {
      const question = turn(words.you, text), answer = turn(model, "");
      const asked = [...messages, { role: "user", content: text }], own = new AbortController();
      working(own);
      say(words.answering);
      let outcome = words.done, bad = false;
      try {
        await ask(asked, own.signal, (piece) => {
          const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
          answer.append(piece);
          if (follows) log.scrollTop = log.scrollHeight;
        });
      } catch (error) {
        bad = error.name !== "AbortError";
        outcome = !bad ? words.stopped : error instanceof Refused ? error.message : words.away;
      }
      if (answer.textContent) messages = [...asked, { role: "assistant", content: answer.textContent }];
      else {  // nothing was answered, so the words go back to where they can be sent again
        question.parentNode.remove();
        answer.parentNode.remove();
        field.value ||= text;
      }
      working(null);
      say(outcome, bad);
    }

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = field.value.trim();
      if (!text || running) return;
      field.value = "";
      field.focus();
      exchange(text);
      log.scrollTop = log.scrollHeight;
    });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") running?.abort();
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    });
    stop.addEventListener("click", () => { running?.abort(); field.focus(); });
    clear.addEventListener("click", () => {
      messages = [];
      log.replaceChildren();
      working(null);
      say(words.cleared);
      field.focus();
    });
  }

  if (script.closest("body") || document.body) build();
  else document.addEventListener("DOMContentLoaded", build);
})();
