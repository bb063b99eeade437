"use strict";
// Plays recorded answers: each types itself in, one after the other, when it comes into view. Without this script, and
// where the reader asks for less motion, they stand there whole.
const recorded = [...document.querySelectorAll("[data-typed]")];
const pause = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });

async function play() {
  for (const place of recorded) { // the page keeps its height, and a screen reader the whole text
    place.style.minHeight = `${place.offsetHeight}px`;
    place.classList.add("untyped");
  }
  for (const place of recorded) {
    const whole = place.textContent;
    const shown = document.createElement("span");
    const left = document.createElement("span");
    left.className = "left";
    place.replaceChildren(shown, left);
    place.classList.replace("untyped", "typing");
    for (const piece of whole.match(/\S+\s*/g) ?? []) {
      shown.textContent += piece;
      left.textContent = whole.slice(shown.textContent.length);
      await pause(70);
    }
    place.classList.remove("typing");
    place.textContent = whole;
    place.dispatchEvent(new Event("typed", { bubbles: true }));
    await pause(500);
  }
}

if (recorded.length && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
  const seen = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) {
      seen.disconnect();
      play();
    }
  });
  seen.observe(recorded[0]);
}
