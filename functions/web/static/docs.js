"use strict";
// Lets one send each call of this page, filter the index, and follow a link to a call. The token stays in this page's
// memory.
const MOST_CHARACTERS = 200_000; // of an answer that is shown
document.getElementById("proof").hidden = false;

function address(form) {
  const query = new URLSearchParams();
  let path = form.dataset.path;
  for (const input of form.querySelectorAll("input[data-in]")) {
    if (input.dataset.in === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(input.value));
    else if (input.value !== "") query.set(input.name, input.value);
  }
  return new URL("." + path + (query.size ? `?${query}` : ""), document.baseURI);
}

function asked(form) {
  const headers = {}, token = document.getElementById("bearer").value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  const body = form.elements.body?.value;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  return { method: form.dataset.method, headers, body };
}

async function show(answer, code) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let length = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    code.append(value.slice(0, MOST_CHARACTERS - length));
    if ((length += value.length) > MOST_CHARACTERS) return reader.cancel();
  }
  try {
    code.textContent = JSON.stringify(JSON.parse(code.textContent), null, 2);
  } catch { /* a stream, a text or nothing: as it came */ }
}

for (const form of document.querySelectorAll("form.try")) {
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [button, state, output] = ["button", ".state", "pre"].map((name) => form.querySelector(name));
    const code = output.firstElementChild, begun = performance.now();
    button.disabled = true;
    state.textContent = "Sent; waiting for the answer.";
    code.textContent = "";
    try {
      const answer = await fetch(address(form), asked(form));
      state.textContent = `${answer.status} ${answer.statusText} after ${Math.round(performance.now() - begun)} ms`;
      output.hidden = false;
      if (answer.body) await show(answer, code);
    } catch (fault) {
      state.textContent = `No answer: ${fault.message}`;
    } finally {
      button.disabled = false;
    }
  });
}

// --- The index
const groups = [...document.querySelectorAll("#index details")];
const links = [...document.querySelectorAll("#index a")];
const wanted = document.getElementById("wanted");
document.getElementById("filter").hidden = false;
const variables = document.getElementById("sample-variables");
variables.textContent = variables.textContent.replace(/=http\S*/, `=${new URL(".", document.baseURI).href.slice(0, -1)}`);

function filter() {
  const words = wanted.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const link of links) {
    const text = `${link.textContent} ${link.dataset.words ?? ""}`.toLowerCase();
    link.parentElement.hidden = !words.every((word) => text.includes(word));
  }
  for (const group of groups) {
    group.hidden = !group.querySelector("li:not([hidden])");
    group.open = words.length > 0 || Boolean(group.querySelector("[aria-current]"));
  }
  document.getElementById("index").scrollTop = 0;
  const left = links.filter((link) => !link.parentElement.hidden).length;
  document.getElementById("found").textContent = words.length ? (left ? `${left} found` : "Nothing matches") : "";
}
wanted.addEventListener("input", filter);

// Opens what the address names, and marks it in the index.
function reveal() {
  const id = decodeURIComponent(location.hash.slice(1));
  const named = document.getElementById(id);
  if (named instanceof HTMLDetailsElement) {
    named.open = true;
    named.scrollIntoView();
  }
  for (const link of links) {
    if (id && link.hash === `#${id}`) {
      link.setAttribute("aria-current", "true");
      link.closest("details").open = true;
      link.scrollIntoView({ block: "nearest" });
    } else link.removeAttribute("aria-current");
  }
}
addEventListener("hashchange", reveal);
reveal();
