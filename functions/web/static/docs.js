"use strict";
// Lets one send each call of this page, and opens the call that a link names. The token stays in this page's memory.
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

function reveal() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named instanceof HTMLDetailsElement) named.open = true;
}
addEventListener("hashchange", reveal);
reveal();
