// Scanning what is printed on a device, where the browser can read codes. The picture never leaves
// the browser: what was read is put into the field, and the form is sent.
"use strict";

(() => {
  const FORMATS = ["data_matrix", "qr_code", "code_128", "code_39", "ean_13", "itf"];
  const EVERY = 200; // ms between looks

  const part = (id) => document.getElementById(id);
  const [button, camera, picture, said] = ["scan", "camera", "picture", "scanning"].map(part);
  let stream = null;
  let timer = 0;

  async function canScan() {
    if (!("BarcodeDetector" in window) || !navigator.mediaDevices?.getUserMedia) return false;
    const known = await BarcodeDetector.getSupportedFormats();
    return FORMATS.some((format) => known.includes(format));
  }

  async function open() {
    camera.hidden = false;
    said.textContent = said.dataset.looking;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      picture.srcObject = stream;
      await picture.play();
    } catch {
      said.textContent = said.dataset.refused;
      return;
    }
    const known = await BarcodeDetector.getSupportedFormats();
    const detector = new BarcodeDetector({ formats: FORMATS.filter((one) => known.includes(one)) });
    timer = setInterval(() => look(detector), EVERY);
  }

  async function look(detector) {
    const found = await detector.detect(picture).catch(() => []);
    const value = found[0]?.rawValue?.trim();
    if (!value || !stream) return;
    close();
    part("mark").value = value;
    part("find").requestSubmit();
  }

  function close() {
    clearInterval(timer);
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = null;
    picture.srcObject = null;
    camera.hidden = true;
  }

  button.addEventListener("click", open);
  part("stop").addEventListener("click", () => {
    close();
    button.focus();
  });
  window.addEventListener("pagehide", close);
  canScan().then((can) => {
    button.hidden = !can;
  });
})();
