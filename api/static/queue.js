// The ticket queue: keys to work it with, and what is new in it. Without this it is a list and a form.
"use strict";

(() => {
  const queue = document.getElementById("queue");
  if (!queue) return;

  const rows = () => [...queue.querySelectorAll("tr[data-no]")];
  const box = (row) => row.querySelector("input[name=ticket]");
  const link = (row) => row.querySelector(".main a");
  const isTicked = (row) => Boolean(box(row)?.checked);

  // One line that says what a key could not do, or what was done; a screen reader hears it.
  const said = byId("said");

  function tell(words) {
    const line = document.createElement("p");
    line.className = "notice";
    line.textContent = words;
    said.replaceChildren(line);
  }

  // Which row the keys are at ------------------------------------------------------------------

  let at = null; // the number of the ticket

  function goTo(row) {
    if (!row) return;
    for (const other of rows()) other.classList.toggle("at", other === row);
    at = row.dataset.no;
    link(row).focus();
  }

  function here() {
    const focused = document.activeElement?.closest?.("tr[data-no]");
    return focused ?? rows().find((row) => row.dataset.no === at);
  }

  function step(by) {
    const all = rows();
    const place = all.indexOf(here());
    const next = place < 0 ? (by > 0 ? 0 : all.length - 1) : place + by;
    goTo(all[Math.min(all.length - 1, Math.max(0, next))]);
  }

  // The place outlives the page that an action leads to: the keys go on at the next row.
  const PLACE = "fjarrkoll-place";

  function keepPlace() {
    const all = rows();
    const place = all.indexOf(here());
    if (place < 0) return;
    const onwards = [...all.slice(place + 1), ...all.slice(0, place + 1).reverse()];
    const left = [...onwards.filter((row) => !isTicked(row)), ...onwards.filter(isTicked)];
    const kept = { self: queue.dataset.self, numbers: left.map((row) => row.dataset.no) };
    sessionStorage.setItem(PLACE, JSON.stringify(kept));
  }

  function takePlace() {
    const kept = JSON.parse(sessionStorage.getItem(PLACE) ?? "{}");
    sessionStorage.removeItem(PLACE);
    if (byId("failed")) {
      at = rows().find(isTicked)?.dataset.no; // the refusal is read first
    } else if (kept.self === queue.dataset.self) {
      const shown = new Map(rows().map((row) => [row.dataset.no, row]));
      goTo(shown.get(kept.numbers.find((number) => shown.has(number))));
    }
  }

  // Choosing tickets, and doing something to them ------------------------------------------------

  function toggle() {
    const row = here();
    if (!row || !box(row)) return;
    box(row).checked = !box(row).checked;
    goTo(row);
    showChosen();
  }

  // The form with an action chosen, for the rows that are ticked or else the one the keys are at.
  function formFor(action) {
    const form = byId("bulk");
    const options = [...(form?.elements.action.options ?? [])];
    if (!options.some((option) => option.value === action)) {
      const words = JSON.parse(queue.dataset.actions)[action];
      tell(queue.dataset.notHere.replace("{action}", words));
      return null;
    }
    const row = here();
    if (!rows().some(isTicked) && row) box(row).checked = true;
    showChosen();
    if (!rows().some(isTicked)) {
      tell(queue.dataset.noneChosen);
      return null;
    }
    form.elements.action.value = action;
    showReasons();
    return form;
  }

  function fill(action, field) {
    const row = here();
    const form = formFor(action);
    if (row) at = row.dataset.no;
    form?.elements[field].focus();
  }

  function showChosen() {
    const all = byId("all");
    if (!all) return;
    const boxes = rows().map(box).filter(Boolean);
    const ticked = boxes.filter((one) => one.checked).length;
    all.checked = ticked > 0 && ticked === boxes.length;
    all.indeterminate = ticked > 0 && ticked < boxes.length;
  }

  function chooseAll(event) {
    for (const one of rows().map(box).filter(Boolean)) one.checked = event.target.checked;
  }

  // Only the reasons of the action that is chosen.
  function showReasons() {
    const { action, reason } = byId("bulk")?.elements ?? {};
    for (const group of reason?.querySelectorAll("optgroup") ?? []) {
      group.hidden = group.disabled = group.dataset.of !== action.value;
      if (group.disabled && group.contains(reason.selectedOptions[0])) reason.value = "";
    }
  }

  // Keys -----------------------------------------------------------------------------------------

  const KEYS = {
    j: () => step(1),
    k: () => step(-1),
    x: toggle,
    t: () => formFor("triage")?.requestSubmit(),
    a: () => formFor("take")?.requestSubmit(),
    g: () => fill("assign", "assignee"),
    w: () => fill("wait", "reason"),
    r: () => (byId("news") ? refresh() : tell(queue.dataset.nothingNew)),
    n: () => (byId("more") ? byId("more").click() : tell(queue.dataset.lastPage)),
    "/": openFilter,
    "?": () => byId("keys").showModal(),
  };

  function openFilter() {
    byId("filter").open = true;
    byId("filter").querySelector("input:not([type=hidden]), select").focus();
  }

  // Keys without a modifier can get in the way of speech input, so they can be turned off.
  const KEPT = "fjarrkoll-keys";
  const areKeysOn = () => localStorage.getItem(KEPT) !== "off";
  const isTyping = (target) => target.closest("input:not([type=checkbox]), select, textarea, dialog");

  function pressed(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    if (!areKeysOn()) return;
    if (event.key === "Escape" && event.target.closest("#bulk .bulk, #filter")) {
      goTo(here() ?? rows()[0]);
      return;
    }
    if (isTyping(event.target) || !Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    said.replaceChildren();
    KEYS[event.key]();
  }

  function fit() {
    const all = byId("all");
    if (all) {
      all.hidden = false;
      all.addEventListener("change", chooseAll);
    }
    const open = byId("keys-open");
    if (open) {
      open.hidden = false;
      open.addEventListener("click", () => byId("keys").showModal());
    }
    byId("bulk")?.addEventListener("change", () => {
      showChosen();
      showReasons();
    });
    byId("bulk")?.addEventListener("submit", keepPlace);
    showChosen();
    showReasons();
  }

  // News: they are told, and no row moves under anybody's hands --------------------------------------

  const REST = 500; // ms from the first event until the list is compared
  const APART = 5000; // ms between two comparisons, however much happens
  const LOST = 20000; // ms without a connection, after which the list may be old

  const live = byId("live");
  let source = null;
  let missed = document.hidden; // something may have happened while nobody listened
  let shownAs = 0; // counts the lists that were shown, so that no answer is held against another
  let timer = 0;
  let isComparing = false;
  let isWanted = false;
  let comparedAt = -APART;
  let lost = 0;

  // The list as it is now: undefined without an answer, null when the answer has no list. What no
  // person asked for keeps no session alive.
  async function read(headers = {}) {
    try {
      const answer = await fetch(queue.dataset.self, { headers: { Accept: "text/html", ...headers } });
      if (answer.status >= 500) return undefined;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      return answer.ok && page.getElementById("queue") ? page : null;
    } catch {
      return undefined;
    }
  }

  function compareSoon() {
    isWanted = true;
    if (timer || isComparing || document.hidden) return;
    const wait = Math.max(REST, comparedAt + APART - performance.now());
    timer = setTimeout(compare, wait);
  }

  async function compare() {
    const before = shownAs;
    [timer, isWanted, isComparing] = [0, false, true];
    const fresh = (await read({ "X-Unattended": "1" }))?.getElementById("queue");
    [isComparing, comparedAt] = [false, performance.now()];
    if (!fresh) mayBeOld();
    else if (before === shownAs) announce(newsIn(fresh));
    if (isWanted) compareSoon();
  }

  const versions = (list) =>
    new Map([...list.querySelectorAll("tr[data-no]")].map((row) => [row.dataset.no, row.dataset.version]));

  function newsIn(fresh) {
    const was = versions(queue);
    const is = versions(fresh);
    const there = onPage([...is.keys()], was, queue.dataset.more);
    return {
      came: there.filter((number) => !was.has(number)).length,
      changed: there.filter((number) => was.has(number) && is.get(number) !== was.get(number)).length,
      went: onPage([...was.keys()], is, fresh.dataset.more).filter((number) => !is.has(number)).length,
    };
  }

  // Where the list goes on on another page, what passes the end of this one is no news.
  function onPage(numbers, others, hasMore) {
    const last = hasMore ? numbers.findLastIndex((number) => others.has(number)) : -1;
    return last < 0 ? numbers : numbers.slice(0, last + 1);
  }

  function announce(news) {
    const told = Object.keys(news).filter((kind) => news[kind]);
    notice(told.map((kind) => queue.dataset[kind].replace("{n}", news[kind])).join(" · "));
  }

  const mayBeOld = () => notice(queue.dataset.old);

  // Only the words change while the notice stands, so that its button keeps the focus.
  function notice(words) {
    if (!words) return live.replaceChildren();
    if (!byId("news")) {
      const line = document.createElement("p");
      const button = document.createElement("button");
      line.className = "notice";
      button.type = "button";
      button.id = "news";
      button.textContent = queue.dataset.show;
      button.addEventListener("click", refresh);
      line.append(document.createElement("span"), " ", button);
      live.replaceChildren(line);
    }
    const text = live.querySelector("span");
    if (text.textContent !== words) text.textContent = words;
  }

  async function refresh() {
    const page = await read();
    if (page === undefined) return mayBeOld();
    if (page === null) return location.assign(queue.dataset.self);
    const ticked = new Set(rows().filter(isTicked).map((row) => row.dataset.no));
    for (const id of ["lead", "quick", "queue"]) {
      const fresh = page.getElementById(id);
      Object.assign(byId(id).dataset, fresh.dataset);
      byId(id).replaceChildren(...fresh.childNodes);
    }
    shownAs += 1;
    for (const row of rows()) if (box(row)) box(row).checked = ticked.has(row.dataset.no);
    for (const gone of [byId("done"), live, said]) gone?.replaceChildren();
    fit();
    goTo(here() ?? rows()[0]);
    listen();
  }

  function listen() {
    if (document.hidden || (source && source.readyState !== EventSource.CLOSED)) return;
    source = new EventSource(queue.dataset.live);
    source.addEventListener("ready", connected);
    source.addEventListener("ticket", compareSoon);
    source.addEventListener("overflow", leftOut);
    source.addEventListener("error", interrupted);
  }

  // Browsers hold few connections to one server, so a page that nobody sees gives its own back.
  function rest() {
    source?.close();
    clearTimeout(timer);
    clearTimeout(lost);
    [timer, lost, missed] = [0, 0, true];
  }

  function connected() {
    clearTimeout(lost);
    lost = 0;
    if (missed) compareSoon();
    missed = false;
  }

  function leftOut() {
    mayBeOld();
    compareSoon();
  }

  // The browser comes back by itself, unless the server has said that it may not.
  function interrupted() {
    missed = true;
    if (source.readyState === EventSource.CLOSED) mayBeOld();
    else lost ||= setTimeout(mayBeOld, LOST);
  }

  // What was done is said once: not again when the page is read anew.
  function sayDone() {
    const done = byId("done");
    if (!done) return;
    history.replaceState(null, "", queue.dataset.self);
    setTimeout(() => said.replaceChildren(done), 300); // a region speaks of what comes into it
  }

  fit();
  takePlace();
  sayDone();
  document.addEventListener("keydown", pressed);
  const on = byId("keys-on");
  on.checked = areKeysOn();
  on.addEventListener("change", () => localStorage.setItem(KEPT, on.checked ? "on" : "off"));
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : listen()));
  window.addEventListener("pagehide", rest);
  window.addEventListener("pageshow", listen);
})();
