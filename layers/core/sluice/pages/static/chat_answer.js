"use strict";
// The pieces of an answer: what is read of its stream, its thoughts, and the marks of its sources.
Sluice.chatAnswer = (() => {
  async function read(response, came, draw) {
    for await (const data of Sluice.events(response)) {
      if (data === "[DONE]") {
        came.ended = true;
        return;
      }
      const event = JSON.parse(data);
      if (event.error) {
        came.inStream = event.error.message;
        return;
      }
      if ("attempt" in event && event.attempt !== came.attempt) {
        Object.assign(came, { attempt: event.attempt, text: "", thought: "" }); // a new process answers anew
      }
      if (event.usage) came.usage = event.usage;
      const delta = event.choices?.[0]?.delta;
      const thought = delta?.reasoning_content || delta?.reasoning;
      if (!thought && !delta?.content) continue;
      if (thought) {
        came.thoughtFrom ??= performance.now();
        came.thoughtMs = performance.now() - came.thoughtFrom;
        came.thought += thought;
      }
      came.text += delta.content || "";
      draw.soon();
    }
  }

  function think(thought, came) {
    thought.hidden = false;
    thought.querySelector("summary").textContent = came.text ? _("Thought for %(duration)s", { duration: inSeconds(came.thoughtMs) }) : _("Thinking…");
    thought.querySelector(".thoughts").textContent = came.thought;
  }

  const inSeconds = (ms) => _("%(count)s s", { count: (ms / 1000).toFixed(1) });

  // Makes links of the marks in an answer, such as [1], that lead where its list of sources leads.
  function cite(answer, cited) {
    const texts = document.createTreeWalker(answer, NodeFilter.SHOW_TEXT);
    const found = [];
    while (texts.nextNode()) if (!texts.currentNode.parentElement?.closest("a, code, math")) found.push(texts.currentNode);
    for (const text of found) {
      const pieces = text.data.split(/\[(\d{1,3})\]/); // every second one is a number
      if (pieces.length > 1) text.replaceWith(...pieces.map((piece, at) => (at % 2 ? mark(piece, cited[piece - 1]) : piece)));
    }
  }

  function mark(number, source) {
    if (!source) return `[${number}]`;
    const title = source.lastElementChild.textContent;
    return Object.assign(document.createElement("a"), { className: "mark", href: source.href, textContent: number, title });
  }

  return { cite, inSeconds, read, think };
})();
