"use strict";
// Plots of a table by day: each number drawn is one of its cells, or the sum of those that share a day.
(() => {
  const DAY_S = 86400;
  const SHOWN = 5; // keys with a colour of their own; the others together are one more
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const number = new Intl.NumberFormat("en");
  const whole = (value) => number.format(value);
  const money = (value) => "$" + (value === 0 || value >= 0.01 ? value.toFixed(2) : value.toFixed(6));
  const roundMoney = (value) => "$" + Number(value.toPrecision(3)); // of an axis
  const time = (value) => (value < 1000 ? Math.round(value) + " ms" : (value / 1000).toFixed(1) + " s");

  for (const place of document.querySelectorAll(".plots")) {
    const table = document.getElementById(place.dataset.of);
    if (!table) continue;
    place.hidden = false;
    table.closest("details").open = false; // the plots say it in less room
    draw(place, table);
    dark.addEventListener("change", () => draw(place, table));
  }

  function draw(place, table) {
    for (const figure of place.children) figure.uplot?.destroy();
    place.replaceChildren();
    const facts = read(table);
    const isSplit = facts.keys.length > 1 || facts.keys[0] !== "";
    const each = (value) => facts.keys.map((key) => ({ label: key || "all", values: facts.series(key, value) }));
    plot(place, facts, "Requests", whole, isSplit ? each((of) => of.requests) : [{ label: "requests", values: facts.series("", (of) => of.requests) }], true);
    plot(place, facts, "Tokens", whole, isSplit ? each((of) => of.prompt + of.completion) : [
      { label: "prompt", values: facts.series("", (of) => of.prompt) },
      { label: "completion", values: facts.series("", (of) => of.completion) },
    ], true);
    plot(place, facts, "Cost", money, isSplit ? each((of) => of.cost / 1e6) : [{ label: "cost", values: facts.series("", (of) => of.cost / 1e6) }], true);
    plot(place, facts, "Mean time of a request", time, each((of) => (of.requests ? of.time / of.requests : null)).map((one) => (isSplit ? one : { ...one, label: "time" })), false);
  }

  // Days without a row are days without a request.
  function read(table) {
    const seconds = (day) => Date.parse(day + "T00:00:00Z") / 1000;
    const days = [];
    for (let at = seconds(table.dataset.first); at <= seconds(table.dataset.last); at += DAY_S) days.push(at);
    const sums = new Map(); // key → day → amounts
    for (const row of table.querySelectorAll("tbody tr")) {
      const { day, key, ...amounts } = row.dataset;
      const byDay = sums.get(key) ?? sums.set(key, new Map()).get(key);
      byDay.set(seconds(day), Object.fromEntries(Object.entries(amounts).map(([name, text]) => [name, Number(text)])));
    }
    const size = (key) => [...sums.get(key).values()].reduce((sum, of) => sum + of.requests, 0);
    const ordered = [...sums.keys()].sort((one, other) => size(other) - size(one));
    const others = ordered.splice(SHOWN);
    if (others.length === 1) ordered.push(...others.splice(0));
    if (others.length) sums.set("others", added(others.map((key) => sums.get(key))));
    const keys = others.length ? [...ordered, "others"] : ordered;
    const nothing = { requests: 0, prompt: 0, completion: 0, cost: 0, time: 0 };
    return { days, keys, series: (key, value) => days.map((day) => value(sums.get(key)?.get(day) ?? nothing)) };
  }

  function added(maps) {
    const sum = new Map();
    for (const map of maps) {
      for (const [day, of] of map) {
        const had = sum.get(day) ?? {};
        sum.set(day, Object.fromEntries(Object.keys(of).map((name) => [name, (had[name] ?? 0) + of[name]])));
      }
    }
    return sum;
  }

  function plot(place, facts, title, words, series, isStacked) {
    const figure = document.createElement("figure");
    const caption = figure.appendChild(Object.assign(document.createElement("figcaption"), { textContent: title }));
    caption.append(Object.assign(document.createElement("span"), { textContent: " a day" }));
    if (!isStacked) caption.lastChild.remove();
    const canvas = figure.appendChild(document.createElement("div"));
    place.append(figure);
    const most = Math.max(0, ...series.flatMap((one) => one.values));
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${title} by day, at most ${words(most)}. The table below has the numbers.`);
    const tops = isStacked ? stacked(series) : series.map((one) => one.values);
    const own = (place) => (u, value, at, index) => {
      const raw = index == null ? null : series[place].values[index];
      return raw == null ? "–" : words(raw);
    };
    // The highest first, so that the lower ones are drawn over it.
    const order = [...series.keys()].reverse();
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    const options = {
      width: canvas.clientWidth,
      height: 200,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      cursor: { y: false, drag: { x: false, y: false } },
      legend: { live: true },
      scales: {
        x: { time: true, range: () => [facts.days[0] - DAY_S / 2, facts.days.at(-1) + DAY_S / 2] },
        y: { range: (u, least, most) => [0, most > 0 ? most * 1.08 : 1] },
      },
      axes: [
        { ...axis, incrs: [1, 2, 7, 14, 28, 91, 182, 365].map((days) => days * DAY_S), values: (u, at) => at.map((one) => new Date(one * 1000).toISOString().slice(5, 10)) },
        { ...axis, size: 72, values: (u, at) => at.map(words === money ? roundMoney : words), incrs: words === whole ? [1, 2, 5].flatMap((n) => [...Array(12).keys()].map((p) => n * 10 ** p)).sort((a, b) => a - b) : undefined },
      ],
      series: [
        { label: "Day", value: (u, at) => (at == null ? "–" : new Date(at * 1000).toISOString().slice(0, 10)) },
        ...order.map((at) => ({
          label: series[at].label,
          value: own(at),
          stroke: colour(`--plot-${at + 1}`),
          width: isStacked ? 0 : 2, // a bar of nothing has no height
          ...(isStacked
            ? { fill: colour(`--plot-${at + 1}`), paths: uPlot.paths.bars({ size: [0.7, 40] }), points: { show: false } }
            : { spanGaps: true, points: { show: true, size: 6 } }),
        })),
      ],
    };
    figure.uplot = new uPlot(options, [facts.days, ...order.map((at) => tops[at])], canvas);
    figure.drawn = series; // what a test holds to the ledger
    new ResizeObserver(() => figure.uplot.setSize({ width: canvas.clientWidth, height: 200 })).observe(canvas);
  }

  function stacked(series) {
    let below = series[0].values.map(() => 0);
    return series.map((one) => (below = one.values.map((value, at) => value + below[at])));
  }
})();
