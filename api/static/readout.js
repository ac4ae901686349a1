// Reads the charts of a device out: point, tap or use the slider below a chart, and it says when and
// how much at the nearest point. A fault that is tapped, or met on the way, says what it is and leads
// to what the page tells of it. Without this, the table below each chart and the list of faults do.
"use strict";

(() => {
  const WIDTH = 520; // of the drawing, and where its axes begin and end
  const LEFT = 52;
  const RIGHT = 508;
  const TOP = 34;
  const BASE = 186;
  const NEAR_PX = 16; // a finger is no needle
  const SVG = "http://www.w3.org/2000/svg";
  const LANG = document.documentElement.lang === "en" ? "en-GB" : "sv-SE";

  // Words ---------------------------------------------------------------------------------------

  const clock = new Intl.DateTimeFormat(LANG, {
    timeZone: "Europe/Stockholm", hourCycle: "h23", weekday: "short", day: "numeric",
    month: "short", year: "numeric", hour: "2-digit", minute: "2-digit",
  });
  const year = (part) => part.find(({ type }) => type === "year").value;

  function when(at) {
    const parts = clock.formatToParts(at * 1000);
    const found = Object.fromEntries(parts.map(({ type, value }) => [type, value.replace(".", "")]));
    const month = LANG === "en-GB" ? found.month.slice(0, 3) : found.month;
    const isThisYear = found.year === year(clock.formatToParts(Date.now()));
    const colon = LANG === "en-GB" ? ":" : ".";
    return `${found.weekday.slice(0, 3)} ${found.day}\u00a0${month}${isThisYear ? "" : " " + found.year} `
      + `${found.hour}${colon}${found.minute}`;
  }

  function amount(value, { decimals, unit }) {
    const digits = { minimumFractionDigits: Number(decimals), maximumFractionDigits: Number(decimals) };
    const text = new Intl.NumberFormat(LANG, digits).format(value).replace("-", "\u2212");
    return unit ? `${text}\u00a0${unit}` : text;
  }

  const filled = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

  // One drawing ---------------------------------------------------------------------------------

  function pointsOf({ points, decimals }) {
    const scale = 10 ** Number(decimals);
    let at = 0;
    let value = 0;
    return points.split(" ").map((told) => {
      const [later, more, down, up] = told.split(",").map(Number);
      at += later;
      value += more;
      const reach = down === undefined ? null : { low: (value - down) / scale, high: (value + up) / scale };
      return { at, value: value / scale, reach };
    });
  }

  function nearest(points, at) {
    let best = 0;
    for (let i = 1; i < points.length; i++) {
      if (Math.abs(points[i].at - at) < Math.abs(points[best].at - at)) best = i;
    }
    return best;
  }

  function drawing(view, figure) {
    const svg = figure.querySelector("svg.chart");
    if (!svg) return;
    const { low, high } = view.dataset;
    const points = figure.dataset.points ? pointsOf(figure.dataset) : [];
    const marks = [...svg.querySelectorAll("[data-code]")];
    const said = document.createElement("p");
    said.className = "read";
    svg.after(said);
    let isPinned = false; // what was tapped stays until the pointer has left

    const x = (at) => LEFT + (RIGHT - LEFT) * (at * 1000 - low) / (high - low);
    const cursor = points.length ? cursorIn(svg) : null;

    function words(point) {
      const { read, readBand } = view.dataset;
      const values = { at: when(point.at), value: amount(point.value, figure.dataset) };
      if (!point.reach) return filled(read, values);
      const reach = { low: amount(point.reach.low, figure.dataset), high: amount(point.reach.high, figure.dataset) };
      return filled(readBand, { ...values, ...reach });
    }

    function show(index, mark, isSaid) {
      said.setAttribute("aria-live", isSaid ? "polite" : "off");
      const lines = [];
      if (index !== null) {
        lines.push(words(points[index]));
        cursor(x(points[index].at), points[index].value, figure.dataset);
        slider.value = index;
        slider.setAttribute("aria-valuetext", [lines[0], mark ? titleOf(mark) : ""].join(" ").trim());
      }
      said.replaceChildren(...lines, ...(mark ? told(view, mark, lines.length > 0) : []));
    }

    const atIndex = (mark) => nearest(points, Number(mark.dataset.at));
    const markAt = (index) => marks.find((mark) => atIndex(mark) === index);
    const slider = points.length ? sliderFor(view, figure, points) : null;
    if (slider) {
      said.after(slider);
      slider.setAttribute("aria-valuetext", words(points.at(-1)));
      slider.addEventListener("input", () => show(Number(slider.value), markAt(Number(slider.value)), false));
      slider.addEventListener("keydown", (event) => {
        const step = { PageUp: 1, PageDown: -1 }[event.key];
        const next = step && nextMark(step);
        if (next === undefined) return;
        event.preventDefault();
        show(next, markAt(next), false);
      });
    }

    function nextMark(step) {
      const here = Number(slider.value);
      const places = [...new Set(marks.map(atIndex))].sort((a, b) => (a - b) * step);
      return places.find((place) => (place - here) * step > 0);
    }

    function indexAt(clientX) {
      if (!points.length) return null;
      const box = svg.getBoundingClientRect();
      const share = (((clientX - box.left) / box.width) * WIDTH - LEFT) / (RIGHT - LEFT);
      return nearest(points, (Number(low) + share * (high - low)) / 1000);
    }

    svg.addEventListener("pointermove", (event) => {
      if (event.pointerType === "touch" || event.buttons || isPinned) return;
      show(indexAt(event.clientX), null, false);
    });
    svg.addEventListener("pointerleave", () => {
      isPinned = false;
    });
    svg.addEventListener("click", (event) => {
      const mark = hit(marks, event.clientX, event.clientY);
      isPinned = Boolean(mark);
      const index = indexAt(event.clientX);
      if (mark || index !== null) show(index, mark, true);
    });
  }

  function cursorIn(svg) {
    const group = document.createElementNS(SVG, "g");
    const line = group.appendChild(document.createElementNS(SVG, "path"));
    const dot = group.appendChild(document.createElementNS(SVG, "circle"));
    group.setAttribute("class", "cursor");
    dot.setAttribute("r", "4");
    return (x, value, { low, high }) => {
      line.setAttribute("d", `M${x.toFixed(1)} ${TOP}V${BASE}`);
      dot.setAttribute("cx", x.toFixed(1));
      dot.setAttribute("cy", (BASE - (BASE - TOP) * (value - low) / (high - low)).toFixed(1));
      svg.append(group);
    };
  }

  function sliderFor(view, figure, points) {
    const slider = document.createElement("input");
    slider.type = "range";
    slider.className = "reader";
    slider.max = points.length - 1;
    slider.value = points.length - 1;
    slider.setAttribute("aria-label", filled(view.dataset.readLabel, { metric: figure.dataset.label }));
    return slider;
  }

  // Faults --------------------------------------------------------------------------------------

  const titleOf = (mark) => mark.querySelector("title").textContent;

  function hit(marks, x, y) {
    // The nearest of those that are near; of two that are as near, the one that is smaller.
    let best = null;
    for (const mark of marks) {
      for (const part of mark.matches(".bar") ? [mark] : mark.querySelectorAll(".sign, circle, .stem")) {
        const box = part.getBoundingClientRect();
        const away = Math.hypot(
          Math.max(box.left - x, 0, x - box.right), Math.max(box.top - y, 0, y - box.bottom),
        );
        const limit = part.matches(".stem") ? NEAR_PX / 4 : NEAR_PX;
        if (away <= limit && (!best || away < best.away)) best = { away, mark };
      }
    }
    return best?.mark ?? null;
  }

  function told(view, mark, isAfter) {
    const lines = titleOf(mark).split("\n").map((line) => document.createTextNode(line));
    const link = document.createElement("a");
    link.href = `#${placeOf(mark)}`;
    link.textContent = view.dataset.readLink;
    const breaks = () => document.createElement("br");
    return [...(isAfter ? [breaks()] : []), ...lines.flatMap((line) => [line, breaks()]), link];
  }

  function placeOf({ dataset: { code, at } }) {
    const same = [...document.querySelectorAll(".troubles [data-from]")].filter((item) => item.dataset.code === code);
    const around = same.find(({ dataset }) => dataset.from <= Number(at) && Number(at) <= dataset.to);
    return (around ?? same[0])?.id ?? "faults";
  }

  // All of them, now and whenever the server has drawn anew ----------------------------------------

  function start() {
    const view = document.getElementById("view");
    for (const figure of view?.querySelectorAll("figure.plot") ?? []) drawing(view, figure);
  }

  document.addEventListener("drawn", start);
  start();
})();
