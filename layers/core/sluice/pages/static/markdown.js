"use strict";
// Shows a model's text as Markdown. It must not run code, load anything, or link to other than web and mail addresses:
// markdown-it ignores HTML in the text, and DOMPurify allows only what is listed here.
Sluice.markdown = (() => {
  const TAGS = "a blockquote br code del em h3 h4 h5 h6 hr li ol p pre s strong table tbody td th thead tr ul".split(" ");
  const LINK = /^(?:https?:\/\/|mailto:)/i;
  const md = window.markdownit({ html: false, linkify: true }).disable("image"); // an image is shown as a link
  md.validateLink = (url) => LINK.test(url.trim());
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
  for (const end of ["heading_open", "heading_close"]) {
    md.renderer.rules[end] = (tokens, at, ...rest) => {
      tokens[at].tag = "h" + Math.min(6, Number(tokens[at].tag[1]) + 2); // below the page's own headings
      return plain(tokens, at, ...rest);
    };
  }
  const rules = {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ["href", "rel", "target", "start", "align"],
    ALLOWED_URI_REGEXP: LINK,
    ADD_URI_SAFE_ATTR: ["rel", "target", "start", "align"], // not addresses, so the rule above does not apply
    ALLOW_DATA_ATTR: false, // htmx would act on some
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  };

  // Puts the formatted `text` into the element. Parts that scroll can be scrolled by keyboard.
  return (element, text) => {
    const fragment = window.DOMPurify.sanitize(md.render(text), rules);
    for (const wide of fragment.querySelectorAll("pre, table")) wide.tabIndex = 0;
    element.replaceChildren(fragment);
    element.classList.add("formatted");
  };
})();
