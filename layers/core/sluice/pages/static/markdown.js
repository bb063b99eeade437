"use strict";
// Shows a model's text as Markdown, with mathematics and highlighted code. It must not run code, load anything but our
// own files, or link to other than web and mail addresses: markdown-it ignores HTML in the text, and DOMPurify allows
// only what is listed here. What would take long stays text.
Sluice.markdown = (() => {
  const MOST_MATH = 1_000; // characters of a formula
  const MOST_LINES = 100; // of a formula
  const MOST_MARKUP = 300_000; // characters of MathML in a message: a short formula can define a long one
  const MOST_DEPTH = 40; // elements within each other in a formula
  const MOST_CODE = 30_000; // characters of code that are highlighted
  const TAGS = "a blockquote br code del em h3 h4 h5 h6 hr li ol p pre s span strong table tbody td th thead tr ul".split(" ");
  const MATH = "math menclose mfrac mi mn mo mover mpadded mphantom mroot mrow mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover semantics".split(" ");
  const ATTRIBUTES = ["href", "rel", "target", "start", "align", "class"];
  const OF_MATH = ("accent accentunder columnalign columnlines columnspacing depth display displaystyle fence height largeop linebreak linethickness lspace mathsize mathvariant maxsize minsize notation rowlines rowspacing rspace scriptlevel separator stretchy voffset width").split(" ");
  const LINK = /^(?:https?:\/\/|mailto:)/i;
  const here = document.currentScript.src;
  const md = window.markdownit({ html: false, linkify: true }).disable("image"); // an image is shown as a link
  md.validateLink = (url) => LINK.test(url.trim());

  // --- The libraries that few messages need: they are loaded with the first that does, and it is drawn again then.
  const files = { katex: "katex.js", hljs: "highlight.js" };
  const asked = new Set();
  const waiting = new Map(); // elements and their text

  function library(name, env) {
    if (window[name]) return window[name];
    env.isWaiting = true;
    if (asked.has(name)) return null;
    asked.add(name);
    const script = document.createElement("script");
    script.src = new URL(files[name], here);
    script.onload = () => {
      const again = [...waiting];
      waiting.clear();
      for (const [element, text] of again) if (element.isConnected) show(element, text);
    };
    document.head.append(script);
    return null;
  }

  // Keeps what a function made of a text, because a message is drawn again with each piece that comes.
  function remembered(make) {
    const known = new Map();
    return (key, ...more) => {
      if (known.size > 500) known.clear();
      if (!known.has(key)) known.set(key, make(key, ...more));
      return known.get(key);
    };
  }

  // --- Mathematics: $…$, $$…$$, \(…\), \[…\]
  const ENDS = [["$$", "$$", true], ["\\[", "\\]", true], ["\\(", "\\)", false], ["$", "$", false]];

  // The formula that begins at `at`, or null. A dollar beside a space or a digit is money.
  function formula(text, at) {
    const found = ENDS.find(([open]) => text.startsWith(open, at));
    if (!found) return null;
    const [open, close, isBlock] = found;
    const from = at + open.length;
    const within = text.slice(from, from + MOST_MATH + close.length);
    let end = within.indexOf(close);
    if (open === "$") {
      if (/[\w\\]/.test(text[at - 1] ?? "")) return null;
      end = within.search(/(?<!\\)\$/);
      if (/^[\s$]|^[\d.,]+ \p{L}{2}/u.test(within) || !/^[^`]*[^\s`]\$(?!\w)/.test(within.slice(0, end + 2))) return null;
    }
    const tex = within.slice(0, Math.max(end, 0)).trim();
    return tex && { tex, isBlock, end: from + end + close.length };
  }

  function push(state, { tex, isBlock }, kind) {
    const token = state.push(kind, "", 0);
    token.content = tex;
    token.meta = isBlock;
    return token;
  }

  md.inline.ruler.before("escape", "math", (state, silent) => {
    const found = "$\\".includes(state.src[state.pos]) && formula(state.src.slice(0, state.posMax), state.pos);
    if (!found) return false;
    if (!silent) push(state, found, "math");
    state.pos = found.end;
    return true;
  });
  // A formula with its own lines is no list or heading, whatever its lines begin with.
  md.block.ruler.before("fence", "math_block", (state, line, lastLine, silent) => {
    const at = state.bMarks[line] + state.tShift[line];
    if (!/^(?:\$\$|\\\[)/.test(state.src.slice(at, at + 2))) return false;
    let last = line + 1; // up to where a quotation or a list ends
    while (last < Math.min(lastLine, line + MOST_LINES) && (state.isEmpty(last) || state.sCount[last] >= state.blkIndent)) last += 1;
    const text = state.getLines(line, last, state.blkIndent, false).trimStart();
    const found = formula(text, 0);
    if (!found || /\S/.test(text.slice(found.end).split("\n", 1)[0])) return false;
    if (silent) return true;
    state.line = line + text.slice(0, found.end).split("\n").length;
    push(state, found, "math_block").map = [line, state.line];
    return true;
  }, { alt: ["paragraph", "reference", "blockquote", "list"] });

  // KaTeX's MathML without what the page's policy or a reader has no use for; "" where it is no formula or too much.
  const mathml = remembered((key, tex, displayMode) => {
    try {
      const made = window.katex.renderToString(tex, { displayMode, output: "mathml", throwOnError: true, trust: false, strict: "ignore", maxSize: 20, maxExpand: 100 });
      return made.replace(/<annotation [^>]*>[^<]*<\/annotation>| style="[^"]*"/g, "").replace(/<\/?span[^>]*>/g, "");
    } catch {
      return "";
    }
  });

  // Browsers draw the letters of these only where they are characters of their own.
  const LETTERS = {
    "double-struck": [0x1d538, { C: "ℂ", H: "ℍ", N: "ℕ", P: "ℙ", Q: "ℚ", R: "ℝ", Z: "ℤ" }],
    script: [0x1d49c, { B: "ℬ", E: "ℰ", F: "ℱ", H: "ℋ", I: "ℐ", L: "ℒ", M: "ℳ", R: "ℛ", e: "ℯ", g: "ℊ", o: "ℴ" }],
    bold: [0x1d400, {}],
    "bold-italic": [0x1d468, {}],
    fraktur: [0x1d504, { C: "ℭ", H: "ℌ", I: "ℑ", R: "ℜ", Z: "ℨ" }],
  };

  function lettered(element) {
    const [first, others] = LETTERS[element.getAttribute("mathvariant")] ?? [];
    if (!first || element.localName === "mtext") return;
    const at = (letter) => letter.charCodeAt() - (letter < "a" ? 65 : 71);
    element.textContent = element.textContent.replace(/[A-Za-z]/g, (letter) => others[letter] ?? String.fromCodePoint(first + at(letter)));
  }

  function depth(markup) {
    let now = 0, most = 0;
    for (const [tag] of markup.matchAll(/<\/?/g)) {
      now += tag === "<" ? 1 : -1;
      if (now > most) most = now;
    }
    return most;
  }

  function drawMath(tokens, at, options, env) {
    const { content, meta: isBlock } = tokens[at];
    const asText = `<code>${md.utils.escapeHtml(content)}</code>`;
    if (!library("katex", env) || env.markup > MOST_MARKUP) return asText;
    const made = mathml(`${isBlock} ${content}`, content, isBlock);
    env.markup += made.length;
    return made && env.markup <= MOST_MARKUP && depth(made) <= MOST_DEPTH ? made : asText;
  }
  md.renderer.rules.math = drawMath;
  md.renderer.rules.math_block = (...all) => `<p>${drawMath(...all)}</p>\n`;

  // --- Code
  const coloured = remembered((key, code, language) => window.hljs.highlight(code, { language, ignoreIllegals: true }).value);

  md.renderer.rules.fence = md.renderer.rules.code_block = (tokens, at, options, env) => {
    const code = tokens[at].content;
    const language = /^[\w+#.-]{1,20}/.exec(tokens[at].info.trim())?.[0].toLowerCase() ?? "";
    env.languages.push(language);
    const isKnown = language && code.length <= MOST_CODE && library("hljs", env)?.getLanguage(language);
    return `<pre><code>${isKnown ? coloured(`${language} ${code}`, code, language) : md.utils.escapeHtml(code)}</code></pre>\n`;
  };

  // A bar above the code with its language, and a button that copies it.
  function framed(pre, language) {
    const frame = Object.assign(document.createElement("div"), { className: "code" });
    const bar = Object.assign(document.createElement("div"), { className: "code-bar" });
    bar.append(Object.assign(document.createElement("span"), { textContent: language || _("code") }), copyButton());
    pre.replaceWith(frame);
    frame.append(bar, pre);
  }

  const ICONS = { copy: "M9 9h11v11H9zM5 15H4V4h11v1", done: "M5 12.5l5 5L19 7" };

  function copyButton() {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "icon-button copy-code" });
    label(button, "copy", _("Copy code"));
    return button;
  }

  function label(button, icon, words, isShown) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const path = document.createElementNS(svg.namespaceURI, "path");
    path.setAttribute("d", ICONS[icon]);
    svg.append(path);
    for (const [name, value] of Object.entries({ class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" })) svg.setAttribute(name, value);
    button.replaceChildren(svg, isShown ? words : "");
    button.title = words;
    button.setAttribute("aria-label", words);
    button.classList.toggle("done", Boolean(isShown));
  }

  const said = Object.assign(document.createElement("p"), { className: "unseen", role: "status" });
  (document.querySelector("main") ?? document.body).append(said);

  document.addEventListener("click", async ({ target }) => {
    const button = target.closest?.(".copy-code");
    if (!button) return;
    const code = button.closest(".code").querySelector("code");
    let words = _("Copied");
    try {
      await navigator.clipboard.writeText(code.textContent); // works only on https and on localhost
    } catch {
      getSelection().selectAllChildren(code);
      words = _("Press Ctrl+C");
    }
    label(button, words === _("Copied") ? "done" : "copy", words, true);
    said.textContent = words;
    clearTimeout(button.timer);
    button.timer = setTimeout(() => {
      label(button, "copy", _("Copy code"));
      said.textContent = "";
    }, 2000);
  });

  // --- Links, tables, headings
  const plain = (tokens, at, options, env, self) => self.renderToken(tokens, at, options);
  md.renderer.rules.link_open = (tokens, at, ...rest) => {
    tokens[at].attrSet("target", "_blank");
    tokens[at].attrSet("rel", "noopener noreferrer nofollow ugc");
    return plain(tokens, at, ...rest);
  };
  for (const cell of ["th_open", "td_open"]) {
    md.renderer.rules[cell] = (tokens, at, ...rest) => {
      // markdown-it aligns a column by an inline style, which the page's policy refuses
      const style = tokens[at].attrGet("style");
      if (style) tokens[at].attrs = [["align", style.replace("text-align:", "")]];
      return plain(tokens, at, ...rest);
    };
  }
  // Below the page's own headings and without a gap: the highest level that is used becomes h3, the next h4.
  md.core.ruler.push("headings", ({ tokens }) => {
    const headings = tokens.filter(({ type }) => type.startsWith("heading_"));
    const used = [...new Set(headings.map(({ tag }) => tag))].sort();
    let level = 2;
    for (const heading of headings) {
      if (heading.nesting === 1) level = Math.min(level + 1, 3 + used.indexOf(heading.tag), 6);
      heading.tag = `h${level}`;
    }
  });

  // --- What is allowed
  const rules = {
    ALLOWED_TAGS: [...TAGS, ...MATH],
    ALLOWED_ATTR: [...ATTRIBUTES, ...OF_MATH],
    ALLOWED_URI_REGEXP: LINK,
    ADD_URI_SAFE_ATTR: [...ATTRIBUTES.filter((name) => name !== "href"), ...OF_MATH], // not addresses, so the rule above does not apply
    FORBID_CONTENTS: ["annotation", "annotation-xml", "style", "script"],
    ALLOW_DATA_ATTR: false, // htmx would act on some
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  };
  window.DOMPurify.addHook("uponSanitizeAttribute", (node, found) => {
    const isMath = node.namespaceURI.endsWith("MathML");
    found.keepAttr &&= (isMath ? OF_MATH : ATTRIBUTES).includes(found.attrName);
    if (found.attrName === "href") found.keepAttr &&= node.nodeName === "A";
    if (found.attrName !== "class") return;
    found.attrValue = found.attrValue.split(/\s+/).filter((name) => /^hljs-[a-z-]+$/.test(name)).join(" ");
    found.keepAttr &&= Boolean(found.attrValue);
  });

  // Makes `old` like `fresh` and leaves alone what is equal, so that focus, selection and scrolling outlive a redraw.
  function patch(old, fresh) {
    const nodes = [...fresh.childNodes];
    for (const [at, node] of nodes.entries()) {
      const now = old.childNodes[at];
      if (!now) old.append(node);
      else if (now.isEqualNode(node) || (now.nodeName === "BUTTON" && node.nodeName === "BUTTON")) continue;
      else if (now.nodeType === 3 && node.nodeType === 3) now.data = node.data;
      else if (now.nodeType === 1 && now.cloneNode().isEqualNode(node.cloneNode())) patch(now, node);
      else now.replaceWith(node);
    }
    while (old.childNodes.length > nodes.length) old.lastChild.remove();
  }

  // Puts the formatted `text` into the element. Parts that scroll can be scrolled by keyboard.
  function show(element, text) {
    const env = { markup: 0, languages: [], isWaiting: false };
    const fragment = window.DOMPurify.sanitize(md.render(text, env), rules);
    for (const wide of fragment.querySelectorAll("pre, table")) wide.tabIndex = 0;
    fragment.querySelectorAll("[mathvariant]").forEach(lettered);
    for (const [at, pre] of [...fragment.querySelectorAll("pre")].entries()) framed(pre, env.languages[at]);
    const cited = element.closest(".turn")?.querySelectorAll(".cited a");
    if (cited?.length) Sluice.chatAnswer.cite(fragment, cited);
    patch(element, fragment);
    element.classList.add("formatted");
    if (env.isWaiting) waiting.set(element, text);
    else waiting.delete(element);
  }
  return show;
})();
