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
