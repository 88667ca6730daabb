"use strict";
// Puts what the server sends into the page: whole elements, made and escaped there, and pieces of text.
(() => {
  const source = new EventSource(document.currentScript.dataset.live);
  const stream = document.getElementById("stream");
  const state = document.getElementById("state");
  const news = document.getElementById("news");
  const atEnd = () => window.innerHeight + window.scrollY >= document.body.scrollHeight - 80;
  const keep = (change) => {
    const follow = atEnd();
    change();
    if (follow) window.scrollTo(0, document.body.scrollHeight);
  };
  let waiting = null; // a new state that would take what is being typed away
  const busy = () => {
    const e = document.activeElement;
    return e && state.contains(e) && e.tagName === "INPUT" && e.value !== "";
  };
  const on = (name, f) => source.addEventListener(name, (e) => f(JSON.parse(e.data)));
  on("hello", () => { news.textContent = ""; });
  on("entry", (d) => keep(() => {
    const box = document.createElement("template");
    box.innerHTML = d.html;
    const old = document.getElementById(d.id);
    if (old) {
      const open = [...old.querySelectorAll("details")].map((x) => x.open);
      box.content.querySelectorAll("details").forEach((x, i) => { if (open[i]) x.open = true; });
      old.replaceWith(box.content);
    } else stream.append(box.content);
  }));
  on("delta", (d) => keep(() => {
    const live = document.querySelector("#" + CSS.escape(d.id) + " .live");
    if (!live) return;
    live.textContent = d.reset ? "" : (live.textContent + d.text).slice(-20000);
  }));
  on("state", (d) => {
    if (busy()) { waiting = d.html; return; }
    state.innerHTML = d.html;
  });
  document.addEventListener("focusout", () => setTimeout(() => {
    if (waiting !== null && !busy()) { state.innerHTML = waiting; waiting = null; }
  }));
  on("down", (d) => { news.textContent = d.message + " It is tried again."; });
  on("end", () => { source.close(); });
  source.onerror = () => { news.textContent = "The connection is lost. It is tried again."; };
})();
