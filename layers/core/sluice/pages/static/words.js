"use strict";
// The words of scripts in the language of the page. A file of translations is loaded before this one; English has none.
// Both functions are called as in Python, so that the same tool finds their texts (infra/words.py).
const ngettext = (one, many, num, values = {}) => {
  const text = globalThis.translations?.[one] ?? (num === 1 ? one : many); // the translations have one form each
  return text.replace(/%\((\w+)\)s|%%/g, (mark, name) => (name ? { num, ...values }[name] : "%"));
};
const _ = (text, values = {}) => ngettext(text, text, 1, values);
