// Runs in an isolated world of every frame. It turns the page into lines and finds elements by their refs again.
(() => {
  if (globalThis.agentd) return;
  const numbers = new WeakMap(), elements = new Map(), labels = new Map(), closed = new WeakMap(), asked = new WeakSet();
  let pre = '', count = 0, begun = false, listening = new WeakSet(), candidates = [];
  const INTERACTIVE = new Set('button link textbox searchbox checkbox radio combobox listbox option slider spinbutton switch tab menuitem menuitemcheckbox menuitemradio treeitem gridcell clickable file'.split(' '));
  const CONTAINER = {NAV: 'navigation', MAIN: 'main', FORM: 'form', DIALOG: 'dialog', TABLE: 'table', ASIDE: 'aside', FOOTER: 'footer', HEADER: 'header', FIELDSET: 'group', MENU: 'menu'};
  const BOXES = new Set('navigation main form dialog alertdialog table grid treegrid complementary contentinfo banner search region group menu menubar tablist tabpanel tree radiogroup toolbar listbox alert status log feed'.split(' '));
  const SKIP = new Set(['SCRIPT', 'STYLE', 'NOSCRIPT', 'TEMPLATE', 'HEAD', 'META', 'LINK', 'TITLE', 'DATALIST', 'SOURCE', 'TRACK', 'PARAM', 'COLGROUP', 'DEFS', 'defs', 'title', 'desc', 'symbol', 'clipPath', 'mask', 'linearGradient']);
  const HOSTS = new Set('ARTICLE ASIDE BLOCKQUOTE DIV FOOTER H1 H2 H3 H4 H5 H6 HEADER MAIN NAV P SECTION SPAN'.split(' '));
  const INPUT = {checkbox: 'checkbox', radio: 'radio', range: 'slider', number: 'spinbutton', search: 'searchbox', submit: 'button', button: 'button', reset: 'button', image: 'button', file: 'file', color: 'textbox', hidden: ''};
  const MAXNODES = 150000, MAXLINES = 12000, MAXNAME = 160;

  const plain = /^[\x20-\x7e]*$/;
  const clean = s => plain.test(s) ? (s.includes('  ') ? s.replace(/ +/g, ' ') : s) : s.replace(/[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\u3164\uffa0\u0000-\u0008\u000e-\u001f\u007f-\u009f]|[\u{e0000}-\u{e0fff}]/gu, '').replace(/\s+/g, ' ');
  const quote = s => '"' + s.replace(/\\/g, '\\\\').replace(/"/g, '\\"') + '"';
  const cut = (s, n) => { s = clean(s).trim(); return s.length > n ? s.slice(0, n) + '…' : s; };
  const rootOf = el => el.shadowRoot || closed.get(el) || null;

  function number(el) {
    let n = numbers.get(el);
    if (!n) { n = ++count; numbers.set(el, n); elements.set(n, new WeakRef(el)); }
    return n;
  }
  const tag_ = el => ' [' + pre + 'e' + number(el) + ']';
  function kids(el) {
    const r = rootOf(el);
    if (r) return r.childNodes;
    if (el.tagName === 'SLOT') { const a = el.assignedNodes({flatten: true}); return a.length ? a : el.childNodes; }
    return el.childNodes;
  }
  const shown = el => el.checkVisibility({checkOpacity: true, checkVisibilityCSS: true});

  // textOf is the visible text in an element.
  function textOf(node, max) {
    const only = node.firstChild;
    if (only && only.nodeType === 3 && !only.nextSibling && !rootOf(node)) return cut(only.data, max);
    let out = '';
    (function walk(n) {
      if (out.length > max) return;
      if (n.nodeType === 3) { out += n.data; return; }
      if (n.nodeType !== 1 || SKIP.has(n.tagName)) return;
      if (n !== node && (!shown(n) || n.getAttribute('aria-hidden') === 'true')) return;
      if (n.tagName === 'IMG' || n.tagName === 'AREA') { out += ' ' + (n.getAttribute('alt') || '') + ' '; return; }
      if (n.tagName === 'INPUT' || n.tagName === 'SELECT' || n.tagName === 'TEXTAREA') return;
      const l = n !== node && n.getAttribute('aria-label');
      if (l) { out += ' ' + l + ' '; return; }
      if (n.tagName === 'svg') { const t = n.querySelector(':scope > title'); if (t) out += ' ' + t.textContent + ' '; }
      if (n.tagName === 'BR') out += ' ';
      for (const c of kids(n)) walk(c);
      if (!/^(SPAN|B|I|EM|STRONG|A|U|CODE|SMALL|SUB|SUP|MARK|tspan)$/.test(n.tagName)) out += ' ';
    })(node);
    return cut(out, max);
  }
  function byIds(el, attr) {
    const ids = el.getAttribute(attr); if (!ids) return '';
    const root = el.getRootNode(); let s = '';
    for (const id of ids.trim().split(/\s+/).slice(0, 8)) { const t = root.getElementById && root.getElementById(id); if (t) s += ' ' + t.textContent.slice(0, 400); }
    return cut(s, MAXNAME);
  }
  function nameOf(el, role, content) {
    let s = byIds(el, 'aria-labelledby') || cut(el.getAttribute('aria-label') || '', MAXNAME);
    if (s) return s;
    const tag = el.tagName;
    if (tag === 'INPUT' && INPUT[el.type] === 'button') return cut(el.value || el.alt || el.title || el.type, MAXNAME);
    if (tag !== 'BUTTON' && tag !== 'A' && el.labels && el.labels.length) { for (const l of el.labels) s += ' ' + textOf(l, MAXNAME); s = cut(s, MAXNAME); if (s) return s; }
    if (tag === 'IMG' || tag === 'AREA') return cut(el.alt || el.title || '', MAXNAME);
    if (tag === 'FIELDSET') { const l = el.querySelector(':scope > legend'); if (l) return textOf(l, MAXNAME); }
    if (tag === 'TABLE' && el.caption) return textOf(el.caption, MAXNAME);
    if (content) { s = textOf(el, MAXNAME); if (s) return s; }
    return cut(el.getAttribute('title') || el.getAttribute('placeholder') || el.getAttribute('aria-placeholder') || (tag === 'INPUT' || tag === 'TEXTAREA' || tag === 'SELECT' ? el.name : '') || '', MAXNAME);
  }
  // hintOf is what an element without a name may be: the names that its author gave it.
  function hintOf(el) {
    for (const e of [el, el.firstElementChild]) {
      if (!e) continue;
      const s = (e.id || '') + ' ' + (e.getAttribute('class') || '') + ' ' + ((e.getAttribute('src') || '').split(/[?#]/)[0].split('/').pop() || '') + ' ' + (e.getAttribute('data-icon') || '');
      if (s.trim()) return cut(s, 60);
    }
    return '';
  }
  function roleOf(el) {
    const r = el.getAttribute('role');
    if (r) { const first = r.trim().split(/\s+/)[0].toLowerCase(); if (first !== 'presentation' && first !== 'none' && first !== 'generic') return first; }
    switch (el.tagName) {
      case 'A': case 'AREA': return el.hasAttribute('href') ? 'link' : '';
      case 'BUTTON': case 'SUMMARY': return 'button';
      case 'INPUT': { const k = INPUT[el.type]; return k === undefined ? (el.hasAttribute('list') ? 'combobox' : 'textbox') : k; }
      case 'TEXTAREA': return 'textbox';
      case 'SELECT': return el.multiple || el.size > 1 ? 'listbox' : 'combobox';
      case 'H1': case 'H2': case 'H3': case 'H4': case 'H5': case 'H6': return 'heading';
      case 'IMG': return 'img';
      case 'LI': return 'listitem';
      case 'TR': return 'row';
      case 'TD': case 'TH': return 'cell';
      case 'IFRAME': case 'FRAME': return 'iframe';
      case 'CANVAS': return 'canvas';
      case 'VIDEO': return 'video';
      case 'AUDIO': return 'audio';
      case 'EMBED': case 'OBJECT': return 'embed';
      case 'PROGRESS': case 'METER': return 'progressbar';
    }
    if (r === null && el.isContentEditable && !(el.parentElement && el.parentElement.isContentEditable)) return 'textbox';
    return CONTAINER[el.tagName] || '';
  }
  function valueOf(el) {
    const tag = el.tagName;
    if (tag === 'INPUT') {
      if (el.type === 'password') return el.value ? '•'.repeat(Math.min(el.value.length, 32)) : '';
      if (el.type === 'checkbox' || el.type === 'radio' || INPUT[el.type] === 'button') return '';
      if (el.type === 'file') return [...el.files].map(f => f.name).join(', ');
      return el.value;
    }
    if (tag === 'TEXTAREA') return el.value;
    if (tag === 'SELECT') return [...el.selectedOptions].map(o => o.label).join(', ');
    if (tag === 'PROGRESS' || tag === 'METER') return String(el.value);
    if (el.isContentEditable) return el.innerText;
    return el.getAttribute('aria-valuetext') || el.getAttribute('aria-valuenow') || '';
  }
  function states(el, role) {
    if (el.attributes.length === 0 && (el.tagName === 'BUTTON' || el.tagName === 'A') && el !== document.activeElement && !el.isContentEditable) return el.tagName === 'BUTTON' && el.matches(':disabled') ? ' disabled' : '';
    const a = n => el.getAttribute(n); let s = '';
    if (role !== 'clickable' && el.matches(':focus')) s += ' focused';
    const v = valueOf(el);
    if (v) s += ' value=' + quote(cut(v, 200));
    const checked = el.tagName === 'INPUT' && (el.type === 'checkbox' || el.type === 'radio') ? (el.indeterminate ? 'mixed' : String(el.checked)) : a('aria-checked');
    if (checked === 'true') s += ' checked'; else if (checked === 'mixed') s += ' half-checked';
    if (a('aria-disabled') === 'true' || el.matches(':disabled')) s += ' disabled';
    const ex = el.tagName === 'SUMMARY' && el.parentElement && el.parentElement.tagName === 'DETAILS' ? String(el.parentElement.open) : a('aria-expanded');
    if (ex === 'true') s += ' expanded'; else if (ex === 'false') s += ' collapsed';
    if (a('aria-selected') === 'true') s += ' selected';
    if (a('aria-pressed') === 'true') s += ' pressed';
    const cur = a('aria-current'); if (cur && cur !== 'false') s += ' current';
    if (el.required || a('aria-required') === 'true') s += ' required';
    if (el.readOnly && role !== 'checkbox') s += ' readonly';
    if (a('aria-invalid') === 'true') s += ' invalid';
    if (el.tagName === 'INPUT' && /^(date|time|month|week|datetime-local|color|password|email|tel|url)$/.test(el.type)) s += ' ' + el.type;
    if (el.tagName === 'SELECT') {
      const o = [...el.options], list = o.slice(0, 16).map(x => quote(cut(x.label, 60)) + (x.disabled ? ' disabled' : ''));
      s += ' options ' + list.join(' ') + (o.length > 16 ? ' … ' + (o.length - 16) + ' more' : '');
    }
    return s;
  }
  // at is the innermost element at a point, through shadow roots.
  function at(x, y) {
    let el = document.elementFromPoint(x, y);
    for (let i = 0; el && i < 50; i++) {
      const r = rootOf(el), inner = r && r.elementFromPoint(x, y);
      if (!inner || inner === el) break;
      el = inner;
    }
    return el;
  }
  const up = n => n.assignedSlot || n.parentNode || n.host || null;
  function within(el, top) { for (let n = el; n; n = up(n)) if (n === top) return true; return false; }
  function hits(hit, el) {
    if (!hit) return false;
    if (within(hit, el)) return true;
    if (el.labels) for (const l of el.labels) if (within(hit, l)) return true;
    return el.tagName === 'AREA' || el.tagName === 'OPTION' ? within(hit, el.parentElement) || hit.useMap : false;
  }
  const isHidden = r => r.width < 1.5 || r.height < 1.5;

  // used says which properties the page's styles name at all. What none names has the value that a browser gives it, and need not be
  // read of every element: reading is what an outline costs.
  const PROPS = {opacity: /opacity/, visibility: /visibility/, clip: /clip|mask/, indent: /text-indent/, font: /font/, fill: /text-fill/, image: /background|gradient/, bg: /background/, color: /color/, cursor: /cursor/, overflow: /overflow/};
  const ALL = Object.fromEntries(Object.keys(PROPS).map(k => [k, true]));
  // What an element looks like is decided by its own tag and classes and those above it, unless a rule of another kind meets it, or an
  // attribute does: such elements are odd. Of the others, one tells for all of its kind.
  const SHOWS = /display|float|position|opacity|visibility|clip|mask|text-indent|font|text-fill|background|color|cursor|overflow|all\s*:/;
  const PLAIN = /^[\w\s.,>*-]+$/, HARMLESS = /^(class|id|href|src|alt|title|name|value|for|onclick|role|target|rel|placeholder|content|tabindex|type|data-.*|aria-.*)$/;
  const SHAPE = /width|height|position|transform|margin|translate|inset|left|top|zoom|scale|overflow|column|float|display|flex|grid|contain|writing|indent|rotate|offset/;
  function used() {
    let text = '', strange = [];
    function sheet(s) {
      if (s.disabled) return;
      for (const r of s.cssRules) {
        if (r.styleSheet) { sheet(r.styleSheet); continue; }
        const own = r.cssText;
        if ((text += own).length > 500000) throw 0;
        rule(r, own);
      }
    }
    function rule(r, own) {
      if (r.selectorText !== undefined) {
        if (r.cssRules && r.cssRules.length) strange = null; // nested: what it is about depends on those around it
        else if (strange && SHOWS.test(own) && !PLAIN.test(r.selectorText)) for (const one of split(r.selectorText)) if (!one.includes('::')) strange.push(one);
      } else if (r.cssRules && !(r instanceof CSSKeyframesRule)) {
        if (!(r instanceof CSSMediaRule || r instanceof CSSSupportsRule || r instanceof CSSLayerBlockRule)) strange = null;
        for (const k of r.cssRules) rule(k, k.cssText);
      }
    }
    const split = s => /[(\[]/.test(s) ? [s] : s.split(',');
    try { // a sheet of another site can't be read
      if (document.getAnimations().length || document.querySelector('[opacity],[visibility],[clip-path],[overflow],[background],[bgcolor],[color],[text],font')) return ALL;
      for (const s of document.styleSheets) sheet(s);
      for (const s of document.adoptedStyleSheets) sheet(s);
      const own = document.querySelectorAll('[style]');
      if (own.length > 4000) return ALL;
      for (const e of own) text += e.style.cssText + ';';
    } catch { return ALL; }
    const out = {};
    for (const k in PROPS) out[k] = PROPS[k].test(text);
    out.shape = SHAPE.test(text);
    out.odd = null;
    if (strange && strange.length < 1000) {
      try { out.odd = new Set(strange.length ? document.querySelectorAll(strange.join(',')) : []); } catch { } // a selector that only a sheet may have
    }
    return out;
  }

  function outline(opt) {
    if (!begun) { begun = true; count = Math.max(count, opt.start || 0); }
    if (opt.prefix !== undefined) pre = opt.prefix;
    const until = performance.now() + 4000, lines = [], vh = innerHeight, vw = innerWidth, sx = scrollX, sy = scrollY;
    let nodes = 0, hidden = 0, full = false, depth = 0, prefix = '', toks = [], sig = '', wasText = false, place = 0, frame = 0;
    const frames = [], kinds = new Map(); candidates = [];
    let keys = 1, skey = 0;
    // style is an element's style, or that of its kind; skey then names the kind, 0 for none.
    function style(el, c) {
      if (!c.key) { skey = 0; return getComputedStyle(el); }
      let odd = c.g.odd.has(el), k = c.key + el.tagName;
      if (el.hasAttributes()) {
        for (const a of el.attributes) {
          const n = a.name;
          if (n === 'class') k += '.' + a.value; else if (n === 'type') k += '/' + a.value; else if (n === 'href') k += '@'; else if (!HARMLESS.test(n)) { odd = true; break; }
        }
      }
      if (odd) { skey = ++keys; return getComputedStyle(el); }
      let r = kinds.get(k);
      if (!r) {
        const s = getComputedStyle(el), g = c.g;
        r = {key: ++keys, display: s.display, overflow: s.overflow};
        if (g.visibility) r.visibility = s.visibility;
        if (g.opacity) r.opacity = s.opacity;
        if (g.cursor) r.cursor = s.cursor;
        if (g.image) r.backgroundImage = s.backgroundImage;
        if (g.bg) r.backgroundColor = s.backgroundColor;
        if (g.color || g.bg) { r.color = s.color; r.webkitTextFillColor = s.webkitTextFillColor; }
        if (g.font) r.fontSize = s.fontSize;
        if (g.clip) { r.clip = s.clip; r.clipPath = s.clipPath; }
        if (g.indent) r.textIndent = s.textIndent;
        if (g.overflow) r.overflowY = s.overflowY;
        kinds.set(k, r);
      }
      skey = r.key;
      return r;
    }
    const modal = [...document.querySelectorAll('dialog:modal')].pop() || null;
    function flush() {
      if (toks.length || prefix) {
        if (toks.length) { lines.push([depth, prefix.trim() + '|' + sig, prefix + toks.join(' '), place, frame]); if (prefix === 'item ') depth++; if (lines.length > MAXLINES) full = true; }
        toks = []; sig = ''; prefix = ''; wasText = false; frame = 0;
      }
    }
    function where(r) { const p = r.bottom <= 0 ? -1 : r.top >= vh ? 1 : 0; if (p !== place) { if (toks.length) { const keep = prefix; flush(); prefix = keep && ''; } place = p; } }
    function say(t, s) { toks.push(t); sig += s + ' '; wasText = false; }
    function text(s) {
      s = clean(s); if (!s.trim()) { if (wasText && s && !toks[toks.length - 1].endsWith(' "')) toks[toks.length - 1] = toks[toks.length - 1].slice(0, -1).trimEnd() + ' "'; return; }
      const q = quote(s);
      if (wasText) toks[toks.length - 1] = toks[toks.length - 1].slice(0, -1) + q.slice(1);
      else { say(q, 't'); wasText = true; }
    }
    function open(label, s) { flush(); toks.push(label); sig = s; const before = lines.length; flush(); depth++; return before; }
    function shut(before) { flush(); depth--; if (lines.length === before + 1 && !/\[(f\d+)?e\d+\]/.test(lines[before][2])) lines.pop(); }

    function element(el, c) {
      if (full || ++nodes > MAXNODES || (nodes & 255) === 0 && performance.now() > until) { full = true; return; }
      const tag = el.tagName;
      if (SKIP.has(tag)) return;
      const st = style(el, c), key = skey, display = st.display;
      if (display === 'none') {
        if (tag === 'INPUT' && el.type === 'file') say('file ' + quote(nameOf(el, 'file', false) || 'file') + tag_(el) + states(el, 'file') + ' hidden', 'file');
        return;
      }
      if (modal && !within(el, modal) && !el.contains(modal) && el !== document.body) return;
      const g = c.g, visible = !g.visibility || st.visibility === 'visible';
      let opacity = c.opacity;
      if (g.opacity) { const o = st.opacity; if (o !== '1') opacity *= parseFloat(o); }
      const aria = c.aria || el.getAttribute('aria-hidden') === 'true';
      let role = roleOf(el);
      const block = !c.row && !display.startsWith('inline') && display !== 'contents';
      const pointer = g.cursor ? st.cursor === 'pointer' : c.pointer || tag === 'A' && el.hasAttribute('href') || tag === 'AREA';
      let bg = c.bg;
      if (g.image && st.backgroundImage !== 'none') bg = '';
      else if (g.bg) { const own = st.backgroundColor; if (own !== 'rgba(0, 0, 0, 0)') bg = own; }
      if (role && role !== 'listitem' && role !== 'row' && role !== 'cell' && !INTERACTIVE.has(role) && !BOXES.has(role) && (pointer && !c.pointer || el.hasAttribute('onclick')) && role !== 'iframe') { if (!(role in {canvas: 1, video: 1, img: 1, heading: 1})) role = 'clickable'; }
      else if ((!role || role === 'listitem' || role === 'row' || role === 'cell') && visible && (pointer && !c.pointer || el.hasAttribute('onclick') || listening.has(el) || (el.hasAttribute('tabindex') && el.tabIndex >= 0)) && tag !== 'BODY' && tag !== 'HTML') {
        if (!(tag === 'LABEL' && el.control)) role = role && !(pointer && !c.pointer) && el.querySelector('a,button,input,select,textarea') ? role : 'clickable';
      }
      if (c.items && tag === 'LI' && !el.querySelector('a[href],button,input,select')) role = 'clickable';
      if (tag === 'LABEL' && el.control) {
        const k = el.control, cr = k.getBoundingClientRect(), ks = getComputedStyle(k);
        if (ks.display === 'none' || ks.visibility !== 'visible' || ks.opacity === '0' || isHidden(cr)) {
          const kr = roleOf(k);
          if (visible && INTERACTIVE.has(kr)) { where(el.getBoundingClientRect()); say(kr + ' ' + quote(textOf(el, MAXNAME)) + tag_(el) + states(k, kr), kr); }
          return;
        }
        if (INTERACTIVE.has(roleOf(k)) && k.type !== 'hidden' && !el.querySelector('a,button')) {
          if (el.contains(k)) element(k, {...c, opacity, aria, bg, pointer});
          return;
        }
      }
      if (!rootOf(el) && !asked.has(el) && (HOSTS.has(tag) || tag.includes('-')) && candidates.length < 64) {
        if (!el.firstElementChild ? !el.textContent.trim() : tag.includes('-')) { const r = el.getBoundingClientRect(); if (r.width > 4 && r.height > 4) candidates.push(el); }
      }
      if (block) flush();
      const sub = {opacity, aria, bg, pointer: pointer || c.pointer, row: c.row, click: c.click, g, key, box: c.box};
      const interactive = INTERACTIVE.has(role) && role !== 'gridcell';
      if (interactive || role === 'canvas' || role === 'video' || role === 'audio' || role === 'embed') {
        const r = c.box && place !== 0 && el.offsetWidth > 2 && el.offsetHeight > 2 ? c.box : el.getBoundingClientRect(); // out of sight, its row says where
        let zero = isHidden(r) && display !== 'contents' && tag !== 'AREA';
        if (zero && role === 'clickable' || role === 'option' && tag === 'OPTION') { walk(el, sub); if (block) flush(); return; }
        if (zero && el.firstElementChild) { const k = el.firstElementChild.getBoundingClientRect(); if (!isHidden(k)) zero = false; }
        const bare = opacity < .05 && !(tag === 'INPUT');
        if (!visible || zero || bare || r.right + sx <= 0 || r.bottom + sy <= 0) { if (visible && !zero && !bare) hidden++; walk(el, sub); if (block) flush(); return; }
        where(r);
        const fromText = !/^(textbox|searchbox|combobox|listbox|slider|spinbutton|file|canvas|video|audio|embed)$/.test(role) || role === 'combobox' && tag === 'BUTTON';
        const list = role === 'clickable' && (tag === 'UL' || tag === 'OL');
        const rich = list || role === 'clickable' && ([...el.querySelectorAll('*')].slice(0, 60).some(k => listening.has(k) && k.textContent.trim() !== el.textContent.trim()) || el.querySelector('a[href],button,input,select,textarea,[role=button],[role=link],[onclick],table,h1,h2,h3,h4') || el.textContent.length > 300) || role === 'treeitem' && el.querySelector('[role=treeitem],[role=group]');
        const n = number(el);
        let head = role + (rich ? '' : ' ' + quote(nameOf(el, role, fromText && !aria))) + tag_(el) + states(el, role);
        if (!rich && head.startsWith(role + ' ""')) { const h = hintOf(el); if (h) head += ' hint=' + quote(h); }
        if (aria) head += ' aria-hidden';
        if (place === 0 && r.top < vh && r.left < vw) {
          const x = Math.min(Math.max(r.left + r.width / 2, 1), vw - 1), y = Math.min(Math.max(r.top + r.height / 2, 1), vh - 1);
          const h = at(x, y);
          if (h && !hits(h, el) && !within(el, h)) head += ' covered';
        }
        labels.set(n, head.slice(0, head.indexOf(' [' + pre + 'e')));
        if (rich) { const b = open(head + ':', role); walk(el, {...sub, row: false, click: true, items: list}); shut(b); return; }
        say(head, role);
        if (fromText && el.querySelector && el.firstElementChild) { // what can be used within: a button in a link
          for (const k of el.querySelectorAll('a[href],button,input,select,textarea')) if (k !== el && shown(k)) element(k, {...sub, row: true});
        }
        if (block) flush();
        return;
      }
      switch (role) {
        case 'heading': {
          const r = el.getBoundingClientRect();
          if (!visible || opacity < .05 || aria || isHidden(r)) { if (el.textContent.trim()) hidden++; return; }
          flush(); where(r);
          const lv = el.getAttribute('aria-level') || (/^H\d$/.test(tag) ? tag[1] : '2');
          if (el.querySelector('a[href],button,input,[onclick],[role=button]')) { prefix = 'h' + lv + ' '; walk(el, sub); flush(); return; }
          const s = textOf(el, 300);
          const click = pointer || listening.has(el) || el.hasAttribute('onclick') ? tag_(el) : '';
          if (s) say('h' + lv + ' ' + quote(s) + click, 'h' + lv);
          flush(); return;
        }
        case 'img': {
          const s = nameOf(el, role, false), r = el.getBoundingClientRect();
          const click = pointer && !c.click && !c.pointer || listening.has(el) || el.hasAttribute('onclick');
          if (visible && !aria && (s || click) && !isHidden(r)) { where(r); say('img ' + quote(s) + (click ? tag_(el) : ''), 'img'); }
          if (tag !== 'IMG') walk(el, {...sub, aria: true});
          return;
        }
        case 'iframe': {
          const r = el.getBoundingClientRect();
          if (!visible || isHidden(r) || opacity < .05) return;
          flush(); where(r); const n = number(el); frames.push(n);
          say('iframe ' + quote(cut(el.title || el.getAttribute('aria-label') || el.name || '', 80)) + tag_(el), 'iframe');
          frame = n; flush(); return;
        }
        case 'progressbar': say('progressbar ' + quote(nameOf(el, role, false)) + states(el, role), role); return;
        case 'separator': return;
        case 'row': {
          if (c.row || el.querySelector('table,ul,ol,p + p,h1,h2,h3,form')) { walk(el, sub); return; }
          flush(); prefix = 'row ';
          if (!g.shape && tag === 'TR') { // nothing can be elsewhere than its row
            const r = el.getBoundingClientRect();
            if (!isHidden(r) && r.right + sx > 0 && r.bottom + sy > 0) { where(r); sub.box = r; }
          }
          let first = true;
          for (const cell of kids(el)) {
            if (cell.nodeType !== 1) continue;
            if (!first) { toks.push('|'); wasText = false; }
            first = false;
            element(cell, {...sub, row: true});
          }
          while (toks[toks.length - 1] === '|') toks.pop();
          flush(); return;
        }
        case 'listitem': { flush(); const d = depth; prefix = 'item '; walk(el, sub); flush(); depth = d; return; } // what follows its first line is below it
        case 'cell': case 'gridcell': walk(el, sub, st); if (!c.row) flush(); return;
      }
      const scrolls = g.overflow && (st.overflowY === 'auto' || st.overflowY === 'scroll') && el.scrollHeight > el.clientHeight + 20 && el !== document.body && el !== document.documentElement && el.clientHeight > 20;
      if (role && BOXES.has(role) || role && CONTAINER[tag] || scrolls) {
        if (!visible && tag !== 'FORM') { walk(el, sub); return; }
        let label = role && (BOXES.has(role) || CONTAINER[tag]) ? role : '';
        const nm = label ? nameOf(el, role, false) : '';
        if (label === 'region' && !nm || label === 'group' && !nm) label = '';
        if (!label && !scrolls) { walk(el, sub); if (block) flush(); return; }
        label = (label + (nm ? ' ' + quote(nm) : '')).trim();
        if (label === 'table') { const rows = el.rows ? el.rows.length : 0, rest = el.querySelectorAll(':scope > thead,:scope > tbody > tr').length; if (rows > 3) label += tag_(el) + ' ' + rows + ' rows'; }
        if (scrolls) label = (label ? label + ' ' : '') + 'scrollable' + tag_(el) + ' at ' + Math.round(100 * el.scrollTop / (el.scrollHeight - el.clientHeight)) + '%';
        const b = open(label + ':', label.split(' ')[0]); walk(el, {...sub, row: false}); shut(b); return;
      }
      walk(el, sub, st);
      if (block) flush();
    }
    function walk(el, c, st) {
      let ok;
      if ((c.g !== ALL || c.key) && rootOf(el)) c = {...c, g: ALL, key: 0, box: null}; // it has styles of its own
      for (const n of kids(el)) {
        if (n.nodeType === 1) { if (n.tagName === 'BR') { if (!c.row) flush(); else text(' '); } else element(n, c); }
        else if (n.nodeType === 3 && /\S/.test(n.data)) {
          if (ok === undefined) ok = n.parentElement === el && st ? readable(el, c, st) : readable(n.parentElement || el, c);
          if (ok) text(n.data); else hidden++;
        } else if (n.nodeType === 3 && wasText) text(' ');
      }
    }
    // readable says whether a person could read the text in an element.
    function readable(el, c, st) {
      if (c.aria || c.opacity < .05) return false;
      st = st || getComputedStyle(el);
      const g = c.g;
      if (g.visibility && st.visibility !== 'visible' || g.font && parseFloat(st.fontSize) < 3) return false;
      if (g.color || g.bg) { const color = st.color; if (color === c.bg && c.bg || /^rgba.*, 0\)$/.test(color)) { if (!g.fill || st.webkitTextFillColor === color) return false; } }
      if (g.clip && (st.clip !== 'auto' && /rect\((0px|1px)[, ]+(0px|1px)[, ]+(0px|1px)/.test(st.clip) || /inset\((50|100)%/.test(st.clipPath))) return false;
      if (st.display === 'contents') return true;
      if (c.box && el.offsetWidth > 2 && el.offsetHeight > 2) return true;
      const r = el.getBoundingClientRect();
      if (isHidden(r) && (st.overflow !== 'visible' || r.width === 0 && r.height === 0)) return false;
      if (r.right + sx <= 0 || r.bottom + sy <= 0) return false;
      if (g.indent && parseFloat(st.textIndent) < -500) return false;
      where(r);
      return true;
    }
    if (!document.documentElement) return {lines, count, hidden, hosts: 0, frames, full, title: '', url: location.href, y: 0, h: 0, vh, ready: document.readyState};
    const bodyBg = document.body ? getComputedStyle(document.body).backgroundColor : '';
    const htmlBg = getComputedStyle(document.documentElement).backgroundColor;
    const bg = bodyBg && bodyBg !== 'rgba(0, 0, 0, 0)' ? bodyBg : htmlBg !== 'rgba(0, 0, 0, 0)' ? htmlBg : 'rgb(255, 255, 255)';
    const g = used();
    walk(document.documentElement, {opacity: 1, aria: false, bg, pointer: false, row: false, click: false, g, key: g.odd ? 1 : 0, box: null});
    flush();
    const h = document.documentElement.scrollHeight;
    return {lines, count, hidden, hosts: candidates.length, frames, full, title: cut(document.title, 200), url: location.href, y: sy, h, vh, ready: document.readyState};
  }

  const describe = el => {
    if (!el) return 'nothing';
    const n = numbers.get(el);
    if (n && labels.has(n)) return labels.get(n) + tag_(el);
    let s = el.tagName.toLowerCase();
    if (el.id) s += '#' + cut(el.id, 40);
    const t = textOf(el, 60);
    return s + (t ? ' ' + quote(t) : '') + (n ? tag_(el) : '');
  };
  function get(n) {
    const w = elements.get(n), el = w && w.deref();
    if (el && el.isConnected) return el;
    const was = labels.get(n);
    if (!was) return null;
    outline({}); // a page that renders anew: the same role and name, if it is there just once
    const same = [...labels].filter(([k, l]) => l === was && k !== n).map(([k]) => elements.get(k).deref()).filter(e => e && e.isConnected);
    if (same.length !== 1) return null;
    elements.set(n, new WeakRef(same[0]));
    return same[0];
  }
  const frameTick = () => new Promise(done => { const t = setTimeout(done, 60); requestAnimationFrame(() => { clearTimeout(t); done(); }); });
  function box(el) {
    const shape = el.tagName === 'OPTION' ? el.closest('select') || el : el;
    const rects = [...shape.getClientRects()].filter(r => r.width >= 1 && r.height >= 1);
    let r = rects[0] || shape.getBoundingClientRect();
    if (isHidden(r) && shape.firstElementChild) r = shape.firstElementChild.getBoundingClientRect();
    return r;
  }
  // aim brings an element into view, waits until it stands still, and finds a point of it that nothing covers.
  async function aim(n, opt) {
    const el = get(n);
    if (!el) return {stale: true};
    if (opt.enabled && (el.matches(':disabled') || el.getAttribute('aria-disabled') === 'true')) return {bad: describe(el) + ' is disabled'};
    let r = box(el);
    if (r.top < 0 || r.left < 0 || r.bottom > innerHeight || r.right > innerWidth || covered(el, r)) el.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'});
    let last = box(el), still = 0;
    const end = performance.now() + (opt.wait || 2000);
    for (;;) {
      await frameTick();
      if (!el.isConnected) return {stale: true};
      r = box(el);
      if (r.x === last.x && r.y === last.y && r.width === last.width && r.height === last.height) {
        if (isHidden(r)) { if (performance.now() > end) return {bad: describe(el) + ' is not visible'}; } else { still++; break; }
      }
      last = r;
      if (performance.now() > end) return {bad: describe(el) + ' does not stand still'};
    }
    let hit = null;
    const patience = performance.now() + 250; // something may be on its way out
    for (;;) {
      for (const [fx, fy] of [[.5, .5], [.25, .5], [.75, .5], [.5, .25], [.5, .75], [.1, .5], [.9, .5]]) {
        const x = r.left + r.width * fx, y = r.top + r.height * fy;
        if (x < 0 || y < 0 || x >= innerWidth || y >= innerHeight) continue;
        const h = at(x, y);
        if (hits(h, el)) return {x, y, tag: el.tagName, type: el.type || '', name: describe(el)};
        hit = hit || h;
      }
      if (!hit) return {bad: describe(el) + ' can not be scrolled into view'};
      if (performance.now() > patience) break;
      await frameTick(); r = box(el); hit = null;
    }
    return {bad: describe(el) + ' is covered by ' + describe(hit), covered: true};
  }
  function covered(el, r) {
    const x = r.left + r.width / 2, y = r.top + r.height / 2;
    return x >= 0 && y >= 0 && x < innerWidth && y < innerHeight && !hits(at(x, y), el);
  }
  function control(el) { return el.tagName === 'LABEL' && el.control ? el.control : el; }
  function field(el) { return el.matches('input,textarea,[contenteditable]') || el.isContentEditable ? el : el.querySelector('input:not([type=hidden]),textarea,[contenteditable]') || el; }
  function fire(el) { el.dispatchEvent(new Event('input', {bubbles: true, composed: true})); el.dispatchEvent(new Event('change', {bubbles: true})); }

  globalThis.agentd = {
    outline, aim,
    look(list, opt) { // lines as text: one line each, its fields between tabs
      agentd.listen(list);
      const s = outline(opt), field = v => typeof v === 'string' && /[\t\n]/.test(v) ? v.replace(/[\t\n]/g, ' ') : v;
      s.lines = s.lines.map(l => l[0] + '\t' + l[3] + '\t' + l[4] + '\t' + field(l[1]) + '\t' + field(l[2])).join('\n');
      return JSON.stringify(s);
    },
    get: n => get(n),
    candidate: i => candidates[i],
    candidates: () => candidates,
    adopt(host, root) { asked.add(host); if (root) closed.set(host, root); },
    listen(list) { listening = new WeakSet(); const all = document.querySelectorAll('*'); for (const i of list) if (all[i]) listening.add(all[i]); },
    begin(n) { // before typing: focus and select all
      let el = get(n); if (!el) return {stale: true};
      el = field(control(el));
      if (el.readOnly) return {bad: describe(el) + ' is read-only'};
      const special = el.tagName === 'INPUT' && /^(date|time|month|week|datetime-local|color|range)$/.test(el.type);
      el.focus();
      if (special) return {special: true};
      if (el.select && el.tagName !== 'DIV') el.select();
      else if (el.isContentEditable) { const s = getSelection(), r = document.createRange(); r.selectNodeContents(el); s.removeAllRanges(); s.addRange(r); }
      else return {bad: describe(el) + ' takes no text'};
      return {filled: !!(el.value || el.innerText)};
    },
    set(n, v) {
      const el = field(control(get(n))); const d = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(el), 'value');
      d.set.call(el, v); fire(el); return el.value;
    },
    value(n) { const el = get(n); return el ? valueOf(field(control(el))) : null; },
    focus(n) { const el = get(n); if (!el) return {stale: true}; const f = field(control(el)); f.focus(); return {}; },
    fileOf(n) { const el = get(n); if (!el) return null; const c = control(el); return c.matches("input[type=file]") ? c : c.querySelector("input[type=file]"); },
    checked(n) { let el = get(n); if (!el) return {stale: true}; el = control(el); const inner = el.matches('input,[aria-checked]') ? el : el.querySelector('input[type=checkbox],input[type=radio]') || el; return {on: inner.type === 'checkbox' || inner.type === 'radio' ? inner.checked : inner.getAttribute('aria-checked') === 'true' || inner.getAttribute('aria-selected') === 'true' || inner.getAttribute('aria-pressed') === 'true'}; },
    select(n, wanted) {
      const el = get(n); if (!el) return {stale: true};
      if (el.tagName !== 'SELECT') return {other: true};
      if (el.disabled) return {bad: 'the list is disabled'};
      const norm = s => clean(s).trim().toLowerCase(), all = [...el.options], found = [];
      for (const w of wanted) {
        const o = all.find(o => clean(o.label).trim() === w.trim()) || all.find(o => o.value === w) || all.find(o => norm(o.label) === norm(w));
        if (!o) return {bad: 'there is no option ' + quote(w) + '; the options are ' + all.slice(0, 40).map(o => quote(cut(o.label, 60))).join(' ')};
        if (o.disabled) return {bad: 'the option ' + quote(w) + ' is disabled'};
        found.push(o);
      }
      if (found.length > 1 && !el.multiple) return {bad: 'the list takes one option'};
      el.focus();
      if (el.multiple) for (const o of all) o.selected = found.includes(o); else el.selectedIndex = found[0].index;
      fire(el);
      return {value: valueOf(el)};
    },
    scroll(n, dx, dy) {
      const el = n ? get(n) : null; if (n && !el) return {stale: true};
      let t = el;
      for (; t; t = t.parentElement) { const s = getComputedStyle(t); if (/auto|scroll/.test(s.overflowY + s.overflowX) && (t.scrollHeight > t.clientHeight + 1 || t.scrollWidth > t.clientWidth + 1)) break; }
      t = t || document.scrollingElement || document.documentElement;
      const w = t === document.scrollingElement ? innerWidth : t.clientWidth, h = t === document.scrollingElement ? innerHeight : t.clientHeight, before = t.scrollTop, left = t.scrollLeft;
      t.scrollBy({left: dx * w, top: dy * h, behavior: 'instant'});
      return {moved: Math.round(t.scrollTop - before) || Math.round(t.scrollLeft - left), at: Math.round(t.scrollTop), of: Math.max(0, t.scrollHeight - h)};
    },
    show(n) { const el = get(n); if (!el) return {stale: true}; el.scrollIntoView({block: 'center', behavior: 'instant'}); return {}; },
    place(n) { const el = get(n); if (!el) return null; const r = el.getBoundingClientRect(); return {x: r.left + el.clientLeft, y: r.top + el.clientTop, w: r.width, h: r.height}; },
    rect(n) { const el = get(n); if (!el) return null; const r = el.getBoundingClientRect(); return {x: r.left, y: r.top, w: r.width, h: r.height}; },
    over(n, x, y) { const el = get(n), h = at(x, y); return h === el ? '' : describe(h); },
    quiet(ms, max) {
      return new Promise(done => {
        let t = setTimeout(end, ms); const last = setTimeout(end, max);
        const o = new MutationObserver(() => { clearTimeout(t); t = setTimeout(end, ms); });
        function end() { clearTimeout(t); clearTimeout(last); o.disconnect(); done(true); }
        o.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
      });
    },
    has: s => { const w = clean(s).trim().toLowerCase(); return !!document.body && clean(document.body.innerText).toLowerCase().includes(w); },
    present: n => { const w = elements.get(n), el = w && w.deref(); return !!(el && el.isConnected && shown(el)); },
    offset: () => ({x: scrollX, y: scrollY}),
    html(n) { // what can be read of an element, without what nobody can see; a table as its cells
      const el = n ? get(n) : document.body || document.documentElement; if (!el) return null;
      if (n && el.tagName === 'TABLE') return {url: location.href, table: [...el.rows].slice(0, 20000).map(r => [...r.cells].map(c => textOf(c, 2000)))};
      let size = 0, cutShort = false, out = '';
      const esc = s => clean(s).replace(/&/g, '&amp;').replace(/</g, '&lt;'), attr = s => esc(s).replace(/"/g, '&quot;');
      const pre = s => s.replace(/&/g, '&amp;').replace(/</g, '&lt;');
      (function walk(e, inPre) {
        if (size > 4000000) { cutShort = true; return; }
        const tag = e.tagName.toLowerCase();
        if (SKIP.has(e.tagName) || tag === 'svg' || tag === 'canvas' || e !== el && (!shown(e) && getComputedStyle(e).display !== 'contents' || e.getAttribute('aria-hidden') === 'true')) return;
        let a = '';
        for (const k of ['href', 'src', 'alt', 'colspan', 'rowspan', 'id', 'class', 'role', 'lang', 'itemprop']) { const v = e.getAttribute(k); if (v && v.length < 2000 && !/^data:/i.test(v)) a += ` ${k}="${attr(v)}"`; }
        const begin = out.length; out += '<' + tag + a + '>';
        if (tag === 'input' || tag === 'select') out += esc(valueOf(e));
        else for (const k of kids(e)) { if (k.nodeType === 1) walk(k, inPre || tag === 'pre'); else if (k.nodeType === 3) { const t = inPre || tag === 'pre' ? pre(k.data) : esc(k.data); size += t.length; out += t; } }
        if (!/^(br|img|hr|input|wbr|area|embed)$/.test(tag)) out += '</' + tag + '>';
        size += out.length - begin > 0 ? 20 : 0;
      })(el, false);
      return {html: '<html><head><title>' + esc(document.title) + '</title></head>' + (el === document.body ? out : '<body>' + out + '</body>') + '</html>', cut: cutShort, url: location.href};
    },
    marks(list) { // boxes drawn over the page for a screenshot
      const h = document.createElement('div'); h.setAttribute('style', 'all:initial;position:fixed;inset:0;z-index:2147483647;pointer-events:none');
      const r = h.attachShadow({mode: 'closed'});
      for (const [n, label] of list) {
        const w = elements.get(n), el = w && w.deref(); if (!el || !el.isConnected) continue;
        const b = el.getBoundingClientRect(); if (isHidden(b) || b.bottom < 0 || b.top > innerHeight) continue;
        const d = document.createElement('div'); d.setAttribute('style', `position:fixed;left:${b.left}px;top:${b.top}px;width:${b.width}px;height:${b.height}px;outline:2px solid #d00;box-sizing:border-box`);
        const s = document.createElement('span'); s.textContent = label; s.setAttribute('style', 'position:absolute;left:0;top:0;background:#d00;color:#fff;font:bold 11px/13px sans-serif;padding:0 2px');
        d.append(s); r.append(d);
      }
      document.documentElement.append(h); this.marked = h;
    },
    unmark() { if (this.marked) this.marked.remove(); this.marked = null; },
  };
})();
