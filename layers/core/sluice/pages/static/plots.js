"use strict";
// Plots of a table by day or hour: each value is a cell of the table, or the sum of cells of the same time.
(() => {
  const STEPS_S = { day: 86400, hour: 3600 };
  const AXIS_STEPS = { day: [1, 2, 7, 14, 28, 91, 182, 365], hour: [1, 2, 3, 6, 12, 24] };
  const LANGUAGE = document.documentElement.lang;
  const OTHERS = "\0others"; // no key of a table
  const SHOWN = 5; // keys with their own colour; the others share one more
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const number = new Intl.NumberFormat(LANGUAGE);
  const whole = (value) => number.format(value);
  const dollar = new Intl.NumberFormat(LANGUAGE, { style: "currency", currency: "USD" }).formatToParts(0).find(({ type }) => type === "currency").value;
  const money = (value) => dollar + value.toFixed(6);
  const inShort = new Intl.NumberFormat(LANGUAGE, { notation: "compact", maximumSignificantDigits: 3 }); // for an axis
  const AXIS_WORDS = new Map([[whole, (value) => inShort.format(value)], [money, (value) => dollar + inShort.format(value)]]);
  const time = (value) => (value < 1000 ? _("%(count)s ms", { count: Math.round(value) }) : _("%(count)s s", { count: (value / 1000).toFixed(1) }));

  for (const place of document.querySelectorAll(".plots")) {
    const table = document.getElementById(place.dataset.of);
    if (!table) continue;
    place.hidden = false;
    table.closest("details").open = false; // the plots show the same in less space
    draw(place, table);
    dark.addEventListener("change", () => draw(place, table));
  }

  function draw(place, table) {
    for (const figure of place.children) figure.uplot?.destroy();
    place.replaceChildren();
    const facts = read(table);
    const isHourly = facts.step === "hour";
    const isSplit = facts.keys.length > 1 || facts.keys[0] !== "";
    const each = (value) => facts.keys.map((key) => ({ label: key === OTHERS ? _("others") : key || _("all"), values: facts.series(key, value) }));
    plot(place, facts, isHourly ? _("Requests an hour") : _("Requests a day"), whole, isSplit ? each((of) => of.requests) : [{ label: _("requests"), values: facts.series("", (of) => of.requests) }], true);
    plot(place, facts, isHourly ? _("Tokens an hour") : _("Tokens a day"), whole, isSplit ? each((of) => of.prompt + of.completion) : [
      { label: _("prompt"), values: facts.series("", (of) => of.prompt) },
      { label: _("completion"), values: facts.series("", (of) => of.completion) },
    ], true);
    if (facts.priced) plot(place, facts, isHourly ? _("Cost an hour") : _("Cost a day"), money, isSplit ? each((of) => of.cost / 1e6) : [{ label: _("cost"), values: facts.series("", (of) => of.cost / 1e6) }], true);
    plot(place, facts, _("Mean time of a request"), time, each((of) => (of.requests ? of.time / of.requests : null)).map((one) => (isSplit ? one : { ...one, label: _("time") })), false);
  }

  // A day or hour without a row had no requests.
  function read(table) {
    const seconds = (moment) => Date.parse(moment) / 1000; // a date alone is midnight UTC
    const step = table.dataset.step;
    const moments = [];
    for (let at = seconds(table.dataset.first); at <= seconds(table.dataset.last); at += STEPS_S[step]) moments.push(at);
    const sums = new Map(); // key → moment → amounts
    for (const row of table.querySelectorAll("tbody tr")) {
      const { at, key, ...amounts } = row.dataset;
      const byMoment = sums.get(key) ?? sums.set(key, new Map()).get(key);
      byMoment.set(seconds(at), Object.fromEntries(Object.entries(amounts).map(([name, text]) => [name, Number(text)])));
    }
    const size = (key) => [...sums.get(key).values()].reduce((sum, of) => sum + of.requests, 0);
    const ordered = [...sums.keys()].sort((one, other) => size(other) - size(one));
    const others = ordered.splice(SHOWN);
    if (others.length === 1) ordered.push(...others.splice(0));
    if (others.length) sums.set(OTHERS, added(others.map((key) => sums.get(key))));
    const keys = others.length ? [...ordered, OTHERS] : ordered;
    const nothing = { requests: 0, prompt: 0, completion: 0, cost: 0, time: 0 };
    return { step, priced: table.querySelector("[data-cost]") !== null, zone: table.dataset.zone, moments, keys, series: (key, value) => moments.map((at) => value(sums.get(key)?.get(at) ?? nothing)) };
  }

  function added(maps) {
    const sum = new Map();
    for (const map of maps) {
      for (const [at, of] of map) {
        const had = sum.get(at) ?? {};
        sum.set(at, Object.fromEntries(Object.keys(of).map((name) => [name, (had[name] ?? 0) + of[name]])));
      }
    }
    return sum;
  }

  function plot(place, facts, title, words, series, isStacked) {
    const figure = document.createElement("figure");
    figure.append(Object.assign(document.createElement("figcaption"), { textContent: title }));
    const canvas = figure.appendChild(document.createElement("div"));
    place.append(figure);
    const most = Math.max(0, ...series.flatMap((one) => one.values));
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", _("%(title)s: at most %(most)s. The table below has the numbers.", { title, most: words(most) }));
    const tops = isStacked ? stacked(series) : series.map((one) => one.values);
    const own = (place) => (u, value, at, index) => {
      const raw = index == null ? null : series[place].values[index];
      return index == null ? "" : raw == null ? "–" : words(raw);
    };
    // The highest first, so that lower ones are drawn over it.
    const order = [...series.keys()].reverse();
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const axis = { font, stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    const stepS = STEPS_S[facts.step];
    const zone = facts.step === "day" ? "UTC" : facts.zone; // a day is a date, whatever the zone
    const iso = (at) => new Date(at * 1000).toLocaleString("sv", { timeZone: zone }); // 2026-11-20 12:00:00
    const dayInShort = new Intl.DateTimeFormat(LANGUAGE, { timeZone: "UTC", month: "short", day: "numeric" });
    const moment = facts.step === "day" ? (at) => dayInShort.format(at * 1000) : (at) => iso(at).slice(11, 16);
    const options = {
      width: canvas.clientWidth,
      height: 200,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), zone),
      cursor: { y: false, drag: { x: false, y: false } },
      legend: { live: true },
      scales: {
        x: { time: true, range: () => [facts.moments[0] - stepS / 2, facts.moments.at(-1) + stepS / 2] },
        y: { range: (u, least, most) => [0, most > 0 ? above(most, words === whole) : 1] },
      },
      axes: [
        { ...axis, incrs: AXIS_STEPS[facts.step].map((count) => count * stepS), values: (u, at) => at.map(moment), grid: { show: false } },
        { ...axis, size: (u, labels) => Math.max(44, 16 + 7.5 * Math.max(0, ...(labels ?? []).map((one) => one.length))), values: (u, at) => at.map(AXIS_WORDS.get(words) ?? words), incrs: words === whole ? [1, 2, 5].flatMap((n) => [...Array(12).keys()].map((p) => n * 10 ** p)).sort((a, b) => a - b) : undefined },
      ],
      series: [
        { label: facts.step === "day" ? _("Day") : _("Hour"), value: (u, at) => (at == null ? "" : iso(at).slice(0, facts.step === "day" ? 10 : 16)) },
        ...order.map((at) => ({
          label: series[at].label,
          value: own(at),
          stroke: colour(`--plot-${at + 1}`),
          width: isStacked ? 0 : 2, // an empty bar has no height
          ...(isStacked
            ? { fill: colour(`--plot-${at + 1}`), paths: uPlot.paths.bars({ size: [0.7, 40] }), points: { show: false } }
            : { spanGaps: true, points: { show: true, size: 6 } }),
        })),
      ],
    };
    figure.uplot = new uPlot(options, [facts.moments, ...order.map((at) => tops[at])], canvas);
    figure.drawn = series; // a test compares it with the ledger
    new ResizeObserver(() => figure.uplot.setSize({ width: canvas.clientWidth, height: 200 })).observe(canvas);
  }

  // The first round number above all values, so that it has a tick.
  function above(most, isWhole) {
    const power = 10 ** Math.floor(Math.log10(most / 4));
    const step = Math.max(isWhole ? 1 : 0, power * [1, 2, 5, 10].find((count) => count * power >= most / 4));
    return step * Math.ceil((most * 1.02) / step);
  }

  function stacked(series) {
    let below = series[0].values.map(() => 0);
    return series.map((one) => (below = one.values.map((value, at) => value + below[at])));
  }
})();
