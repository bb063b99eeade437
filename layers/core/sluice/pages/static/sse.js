"use strict";
// Reads the events of an answer to POST. EventSource cannot send POST, and it repeats a request that broke off.
const Sluice = {};

Sluice.SILENCE_MS = 45000; // while it waits, the server sends a comment every 15 s

// The data of each event, as text. Throws the errors of fetch, and TimeoutError if the server is silent too long.
Sluice.events = async function* (response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  try {
    for (;;) {
      const { done, value } = await spoken(reader);
      if (done) return;
      waiting += value;
      const blocks = waiting.split("\n\n");
      waiting = blocks.pop();
      for (const block of blocks) {
        const lines = block.split("\n").filter((line) => line.startsWith("data:"));
        if (lines.length) yield lines.map((line) => line.slice(5).trimStart()).join("\n");
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }

  function spoken(from) {
    let timer;
    const silent = new Promise((_, fail) => {
      timer = setTimeout(() => fail(new DOMException("no sign of life", "TimeoutError")), Sluice.SILENCE_MS);
    });
    return Promise.race([from.read(), silent]).finally(() => clearTimeout(timer));
  }
};
