// Our own little script. Every page works without it; this makes some of them nicer.
"use strict";

const byId = (id) => document.getElementById(id);

// Printing ---------------------------------------------------------------------------------------

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}

// A form is sent once, however often its button is pressed. Coming back from the next page opens it.
// One that gives a file stays on its page, and may be sent again.

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || "again" in form.dataset) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// A refusal is read first ------------------------------------------------------------------------

byId("failed")?.focus();

// The queue: which row the keys are at, and which are ticked -----------------------------------------

const queue = byId("queue");
const rows = () => [...queue.querySelectorAll("tr[data-no]")];
const box = (row) => row.querySelector("input[name=ticket]");
const link = (row) => row.querySelector(".main a");
let at = null; // the number of the ticket that the keys are at

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

function toggle() {
  const row = here();
  if (!row || !box(row)) return;
  box(row).checked = !box(row).checked;
  goTo(row);
  shown();
}

function send(action) {
  const form = byId("bulk");
  const choice = form?.elements.action;
  if (!choice || ![...choice.options].some((option) => option.value === action)) return;
  if (!rows().some((row) => box(row)?.checked)) {
    const row = here();
    if (!row) return;
    box(row).checked = true;
  }
  choice.value = action;
  form.requestSubmit();
}

function shown() {
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

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  x: toggle,
  t: () => send("triage"),
  a: () => send("take"),
  "?": () => byId("keys").showModal(),
};

// Keys without a modifier can get in the way of speech input, so they can be turned off.
const KEPT = "fjarrkoll-keys";
const areKeysOn = () => localStorage.getItem(KEPT) !== "off";
const isTyping = (target) => target.closest("input:not([type=checkbox]), select, textarea, dialog");

function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  if (!areKeysOn() || isTyping(event.target)) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

function fitQueue() {
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
  byId("bulk")?.addEventListener("change", shown);
  shown();
}

// The queue, live: it says that something is new, and moves no row under anybody's hands -----------

const news = new Set();

function heard(event) {
  let told;
  try {
    told = JSON.parse(event.data);
  } catch {
    return; // not ours to understand
  }
  const row = rows().find((one) => one.dataset.no === String(told.ticket_no));
  const seen = Number(row && box(row)?.value.split(":")[1]);
  if (seen && seen >= told.version) return;
  news.add(told.ticket_no);
  announce();
}

function announce() {
  const notice = byId("live");
  const words = news.size === 1 ? queue.dataset.one : queue.dataset.many.replace("{n}", news.size);
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = queue.dataset.show;
  button.addEventListener("click", refresh);
  notice.replaceChildren(`${words} `, button);
  notice.hidden = false;
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return location.reload();
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("queue");
  if (!fresh) return location.reload();
  const ticked = new Set(rows().filter((row) => box(row)?.checked).map((row) => row.dataset.no));
  queue.replaceChildren(...fresh.childNodes);
  for (const row of rows()) if (box(row)) box(row).checked = ticked.has(row.dataset.no);
  news.clear();
  fitQueue();
  goTo(here() ?? rows()[0]);
}

function listen() {
  const source = new EventSource(queue.dataset.live);
  source.addEventListener("ticket", heard);
  // The connection is given back when the page is left, also into the browser's memory.
  window.addEventListener("pagehide", () => source.close());
}

if (queue) {
  fitQueue();
  document.addEventListener("keydown", pressed);
  const on = byId("keys-on");
  on.checked = areKeysOn();
  on.addEventListener("change", () => localStorage.setItem(KEPT, on.checked ? "on" : "off"));
  listen();
}
