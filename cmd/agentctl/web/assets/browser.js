"use strict";
// Shows what a run's browser shows, and sends what a person does there once it is taken over.
(() => {
  const main = document.querySelector("main"), run = main.dataset.run, el = (id) => document.getElementById(id);
  const view = el("view"), ctx = view.getContext("2d"), who = el("who");
  let session = "", taken = false, queue = [], sending = false, shown = 0, asked = 0;
  const bytes = (s) => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));

  async function draw(data) {
    const mine = ++asked, bitmap = await createImageBitmap(new Blob([bytes(data)], {type: "image/jpeg"}));
    if (mine > shown) {
      shown = mine;
      if (view.width !== bitmap.width || view.height !== bitmap.height) { view.width = bitmap.width; view.height = bitmap.height; }
      ctx.drawImage(bitmap, 0, 0);
    }
    bitmap.close();
  }
  function tabs(list) {
    el("tabs").replaceChildren(...list.map((t) => {
      const b = document.createElement("button");
      b.setAttribute("role", "tab"); b.setAttribute("aria-selected", String(!!t.front));
      b.textContent = t.id + " " + (t.title || "new tab"); b.disabled = !taken;
      b.onclick = () => put({kind: "tab", text: t.id});
      return b;
    }));
  }
  function frame(f) {
    if (f.session) session = f.session;
    if (f.picture) draw(f.picture);
    taken = !!f.taken;
    main.classList.toggle("taken", taken);
    el("take").hidden = taken; el("give").hidden = !taken;
    const why = f.why ? " " + f.why + "." : "";
    who.textContent = taken ? "The browser is yours, and the agent waits." + why : (f.why ? "The agent waits:" + why : "You are looking on. The agent goes on with its work.");
    el("hold").classList.toggle("wanted", !!f.why || taken);
    tabs(f.tabs || []);
    if (document.activeElement !== el("address")) el("address").value = f.url || "";
    for (const b of el("bar").elements) b.disabled = !taken;
    for (const b of el("type").elements) b.disabled = !taken;
    el("dialog").hidden = !f.dialog || !taken;
    if (f.dialog && el("question").textContent !== f.dialog) { el("question").textContent = f.dialog; el("reply").value = ""; }
  }
  function over(text) {
    session = ""; taken = false; main.classList.remove("taken");
    el("take").hidden = el("give").hidden = true;
    who.textContent = text + " Reload this page to look again.";
  }
  async function watch() {
    try {
      const r = await fetch(location.pathname + "/frames" + location.search);
      if (!r.ok || !r.body) return over("The browser can't be seen: " + r.status + ".");
      const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const {value, done} = await reader.read();
        if (done) return over("The view has ended.");
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const l of lines) {
          const f = JSON.parse(l);
          if (f.error) return over(f.error.message + ". " + (f.error.hint ? f.error.hint + "." : ""));
          frame(f);
        }
      }
    } catch { over("The connection is lost."); }
  }
  async function post(act) {
    const r = await fetch("/runs/" + encodeURIComponent(run) + "/browser/" + session, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(act)});
    if (!r.ok) who.textContent = await r.text();
  }
  // What a person does goes in order, a batch at a time; of moves that wait, the last one counts.
  async function send() {
    if (sending) return;
    sending = true;
    try {
      while (queue.length && session && taken) {
        const input = queue.splice(0, 100);
        await post({input});
      }
    } catch { who.textContent = "The connection is lost."; } finally { sending = false; queue = []; }
  }
  function put(one) {
    if (!taken) return;
    const last = queue[queue.length - 1];
    if (one.kind === "move" && last && last.kind === "move") queue[queue.length - 1] = one; else queue.push(one);
    send();
  }
  const mods = (e) => (e.altKey ? 1 : 0) | (e.ctrlKey ? 2 : 0) | (e.metaKey ? 4 : 0) | (e.shiftKey ? 8 : 0);
  const place = (e) => { const r = view.getBoundingClientRect(); return {x: Math.min(Math.max((e.clientX - r.left) / r.width, 0), 1), y: Math.min(Math.max((e.clientY - r.top) / r.height, 0), 1), mods: mods(e)}; };
  const names = ["left", "middle", "right"];
  let clicks = 0, clickedAt = 0, clickedX = 0, clickedY = 0;
  view.addEventListener("pointermove", (e) => put({kind: "move", button: e.buttons & 1 ? "left" : "", ...place(e)}));
  view.addEventListener("pointerdown", (e) => {
    e.preventDefault(); view.focus(); view.setPointerCapture(e.pointerId);
    const near = e.timeStamp - clickedAt < 400 && Math.hypot(e.clientX - clickedX, e.clientY - clickedY) < 6;
    clicks = near ? Math.min(clicks + 1, 3) : 1; clickedAt = e.timeStamp; clickedX = e.clientX; clickedY = e.clientY;
    put({kind: "move", ...place(e)});
    put({kind: "down", button: names[e.button] || "left", count: clicks, ...place(e)});
  });
  view.addEventListener("pointerup", (e) => put({kind: "up", button: names[e.button] || "left", count: clicks, ...place(e)}));
  view.addEventListener("contextmenu", (e) => e.preventDefault());
  view.addEventListener("wheel", (e) => { if (!taken) return; e.preventDefault(); const k = e.deltaMode === 1 ? 30 : 1; put({kind: "wheel", dx: e.deltaX * k, dy: e.deltaY * k, ...place(e)}); }, {passive: false});
  const key = (kind) => (e) => {
    if (!taken || e.isComposing) return;
    if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "v") return; // the text comes with the paste
    e.preventDefault();
    put({kind, key: e.key, code: e.code, number: e.keyCode, mods: mods(e), text: e.key.length === 1 && !e.ctrlKey && !e.metaKey ? e.key : ""});
  };
  view.addEventListener("keydown", key("keydown"));
  view.addEventListener("keyup", key("keyup"));
  document.addEventListener("paste", (e) => { if (!taken || document.activeElement !== view) return; e.preventDefault(); put({kind: "text", text: e.clipboardData.getData("text/plain")}); });
  el("type").addEventListener("submit", (e) => { e.preventDefault(); if (el("text").value) put({kind: "text", text: el("text").value}); el("text").value = ""; });
  el("bar").addEventListener("submit", (e) => { e.preventDefault(); put({kind: "open", text: el("address").value}); view.focus(); });
  for (const b of el("bar").querySelectorAll("[data-do]")) b.onclick = () => put({kind: b.dataset.do});
  el("dialog").addEventListener("submit", (e) => { e.preventDefault(); put({kind: "accept", text: el("reply").value}); });
  el("dismiss").onclick = () => put({kind: "dismiss"});
  const press = (id, act, wait) => { el(id).onclick = async () => { el(id).disabled = true; who.textContent = wait; try { await post(act); } finally { el(id).disabled = false; view.focus(); } }; };
  press("take", {take: true}, "Waiting for what the agent is doing…");
  press("give", {give: true}, "Giving it back…");
  watch();
})();
