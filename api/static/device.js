// The charts of a device: drag to move in time, wheel, two fingers, buttons or keys to zoom. The
// server draws; this only asks it for another stretch. Without it, links and a form do the same.
"use strict";

(() => {
  const SHORTEST = 10 * 60e3;
  const LONGEST = 2 * 365 * 86400e3;
  const WAIT = 200; // ms of rest before the server is asked
  const WIDTH = 520; // of the drawing, and where its axis begins and ends
  const LEFT = 52;
  const RIGHT = 508;

  let view = document.getElementById("view");
  if (!view || !window.fetch) return;

  let shown = spanOf(view); // what the drawings show
  let wanted = { ...shown }; // where the reader has gone meanwhile
  let timer = 0;
  let asked = 0;

  function spanOf(element) {
    const { low, high, now } = element.dataset;
    return { low: Number(low), high: Number(high), now: Number(now), since: Date.now() };
  }

  function now() {
    return shown.now + (Date.now() - shown.since);
  }

  function goTo(low, high) {
    const length = Math.min(LONGEST, Math.max(SHORTEST, high - low));
    const middle = (low + high) / 2;
    const end = Math.min(now(), middle + length / 2);
    wanted = { ...wanted, low: end - length, high: end };
    clearTimeout(timer);
    timer = setTimeout(load, WAIT);
  }

  function move(share) {
    const by = (wanted.high - wanted.low) * share;
    goTo(wanted.low + by, wanted.high + by);
  }

  function zoom(factor, share = 0.5) {
    const length = wanted.high - wanted.low;
    const fixed = wanted.low + length * share;
    goTo(fixed - length * factor * share, fixed + length * factor * (1 - share));
  }

  // Asking the server ---------------------------------------------------------------------------

  const minute = (ms) => new Date(ms).toISOString().slice(0, 16) + "Z";

  async function load() {
    const address = new URL(view.dataset.address, location.href);
    const whole = (ms) => Math.round(ms / 60e3) * 60e3;
    const end = whole(wanted.high);
    address.searchParams.set("from", minute(end - whole(wanted.high - wanted.low)));
    address.searchParams.set("to", minute(end));
    const mine = ++asked;
    view.dataset.busy = "yes";
    try {
      const answer = await fetch(address, { credentials: "same-origin" });
      const text = await answer.text();
      if (mine !== asked) return; // somebody moved on meanwhile
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      replace(text, address);
    } catch {
      if (mine === asked) location.assign(pageAddress(address)); // the page says what is wrong
    }
  }

  function pageAddress(address) {
    const page = new URL(address);
    page.pathname = page.pathname.replace(/\/charts$/, "");
    page.hash = "charts";
    return page;
  }

  function replace(text, address) {
    const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("view");
    if (!fresh) throw new Error("no charts in the answer");
    const focused = view.contains(document.activeElement) ? document.activeElement : null;
    const chosen = focused?.dataset?.move ? `[data-move=${focused.dataset.move}]` : focused && "#plots";
    view.replaceWith(fresh);
    view = fresh;
    shown = spanOf(view);
    wanted = { ...shown };
    history.replaceState(null, "", pageAddress(address));
    start();
    document.dispatchEvent(new Event("drawn"));
    (view.querySelector(chosen) ?? (chosen && view.querySelector("#plots")))?.focus({ preventScroll: true });
  }

  // Pointers: one drags, two pinch --------------------------------------------------------------

  const held = new Map();
  let grip = null; // where the pointers were when they were put down

  const chartOf = (event) => event.target.closest?.("svg.chart");

  function shareOf(svg, x) {
    const box = svg.getBoundingClientRect();
    const inside = ((x - box.left) / box.width) * WIDTH;
    return Math.min(1, Math.max(0, (inside - LEFT) / (RIGHT - LEFT)));
  }

  function axisWidth(svg) {
    return (svg.getBoundingClientRect().width * (RIGHT - LEFT)) / WIDTH;
  }

  function take() {
    const points = [...held.values()];
    if (!points.length) {
      grip = null;
      return;
    }
    const middle = points.reduce((sum, point) => sum + point.x, 0) / points.length;
    const apart = points.length > 1 ? Math.abs(points[0].x - points[1].x) : 0;
    grip = { middle, apart, low: wanted.low, high: wanted.high, svg: points[0].svg };
  }

  function drag() {
    const points = [...held.values()];
    const middle = points.reduce((sum, point) => sum + point.x, 0) / points.length;
    const length = grip.high - grip.low;
    let factor = 1;
    if (points.length > 1 && grip.apart > 10) {
      factor = grip.apart / Math.max(10, Math.abs(points[0].x - points[1].x));
    }
    const share = shareOf(grip.svg, grip.middle);
    const by = ((middle - grip.middle) / axisWidth(grip.svg)) * length;
    const fixed = grip.low + length * share - by;
    goTo(fixed - length * factor * share, fixed + length * factor * (1 - share));
    follow(middle - grip.middle);
  }

  function follow(pixels) {
    // The drawing follows the hand until the server has drawn anew.
    const scale = WIDTH / grip.svg.getBoundingClientRect().width;
    for (const part of view.querySelectorAll(".chart :is(.line, .band, .mark, .bar, .cursor, .unshared)")) {
      part.setAttribute("transform", `translate(${(pixels * scale).toFixed(1)} 0)`);
    }
  }

  function put(event) {
    const svg = chartOf(event);
    if (!svg || event.button !== 0) return;
    held.set(event.pointerId, { x: event.clientX, y: event.clientY, svg });
    svg.setPointerCapture?.(event.pointerId);
    svg.classList.add("held");
    take();
  }

  function carry(event) {
    const point = held.get(event.pointerId);
    if (!point) return;
    point.x = event.clientX;
    if (grip && (held.size > 1 || Math.abs(point.x - grip.middle) > 4)) drag();
  }

  function lift(event) {
    const point = held.get(event.pointerId);
    if (!point) return;
    point.svg.classList.remove("held");
    held.delete(event.pointerId);
    take();
  }

  function wheel(event) {
    const svg = chartOf(event);
    if (!svg || !(event.ctrlKey || event.metaKey)) return; // a plain wheel scrolls the page
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, shareOf(svg, event.clientX));
  }

  // Keys and buttons ----------------------------------------------------------------------------

  const KEYS = {
    ArrowLeft: () => move(-0.25),
    ArrowRight: () => move(0.25),
    "+": () => zoom(0.5),
    "=": () => zoom(0.5),
    "-": () => zoom(2),
    "\u2212": () => zoom(2),
  };
  const MOVES = {
    earlier: () => move(-0.5),
    later: () => move(0.5),
    closer: () => zoom(0.5),
    wider: () => zoom(2),
  };

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, summary")) return;
    const act = KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  function press(event) {
    const link = event.target.closest("a[data-move]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    MOVES[link.dataset.move]();
  }

  function start() {
    const plots = view.querySelector("#plots");
    view.classList.add("live");
    view.querySelector("#keys").hidden = false;
    held.clear();
    view.addEventListener("click", press);
    plots.addEventListener("keydown", key);
    plots.addEventListener("pointerdown", put);
    plots.addEventListener("pointermove", carry);
    plots.addEventListener("pointerup", lift);
    plots.addEventListener("pointercancel", lift);
    plots.addEventListener("wheel", wheel, { passive: false });
  }

  start();
})();
