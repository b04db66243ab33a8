// The timeline's behaviour: fetching windows, zooming, moving, pointing and selecting.
// `timeline_draw.js` and `timeline_table.js` stand before this text.

const LEAST_US = 4, CLICK_PX = 4, DOUBLE_MS = 600, LEGEND_KINDS = 10;
const states = new WeakMap();

class Timeline {
  constructor(root) {
    this.root = root;
    this.find = selector => root.querySelector(selector);
    this.hatched = hatching();
    this.drag = null;
    this.back = [];
    this.listen();
  }

  // ---- what Python says

  update(component) {
    const data = component.data;
    const node = this.data?.node;
    this.pick = component.setTriggerValue;
    this.data = data;
    this.colors = palette(this.root);
    this.root.setAttribute("aria-label", data.label);
    if (this.shown !== data.id) {
      this.shown = data.id;
      this.back = [];
      this.build();
      this.go(data.view, {forget: true});
    } else if (node !== data.node) {
      this.changed();
    } else {
      this.draw();
    }
  }

  build() {
    this.panes = this.data.panes.map(pane => {
      const box = element("div", undefined, "pane");
      if (pane.title) box.append(element("h4", pane.title));
      const canvas = element("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${pane.label}. The table below lists its events.`);
      box.append(canvas);
      return {...pane, box, canvas, reply: null};
    });
    this.find(".panes").replaceChildren(...this.panes.map(pane => pane.box));
    this.find("[data-do=start]").textContent = this.data.start;
    this.find("[data-do=start]").hidden = !this.data.start;
  }

  // What is in view, the kinds with most time in the trace first.
  legend() {
    const seen = new Set();
    for (const {reply} of this.panes.filter(pane => pane.reply)) {
      for (const row of reply.rows) {
        for (const kind of row.kind || row.item.map(at => reply.items[at][1])) seen.add(kind);
      }
    }
    const kinds = this.data.kinds.filter((_, i) => seen.has(i));
    const shown = kinds.slice(0, LEGEND_KINDS).map(kind => {
      const item = element("li"), mark = element("i");
      mark.style.backgroundColor = kind.color;
      if (kind.fallback) mark.className = "hatched";
      item.append(mark, element("span", kind.label));
      return item;
    });
    const more = kinds.length - shown.length;
    return more > 0 ? [...shown, element("li", `and ${more} more`)] : shown;
  }

  // ---- where to look

  limits() {
    return {
      from: Math.min(...this.panes.map(pane => pane.low - pane.origin)),
      to: Math.max(...this.panes.map(pane => pane.high - pane.origin)),
    };
  }

  go(view, {forget = false} = {}) {
    const limits = this.limits();
    const span = Math.min(Math.max(view.to - view.from, LEAST_US), limits.to - limits.from);
    const from = Math.min(Math.max(view.from, limits.from), limits.to - span);
    const next = {from, to: from + span};
    if (this.view && !forget) this.back.push(this.view);
    this.view = next;
    this.changed();
  }

  zoom(factor, around = (this.view.from + this.view.to) / 2) {
    this.go({
      from: around - (around - this.view.from) * factor,
      to: around + (this.view.to - around) * factor,
    });
  }

  move(share) {
    const by = (this.view.to - this.view.from) * share;
    this.go({from: this.view.from + by, to: this.view.to + by});
  }

  // A double click goes back from where it began, whatever its two clicks did.
  undoAll() {
    while (this.back.length > this.depth) this.view = this.back.pop();
    if (this.back.length) this.undo();
    else this.changed();
  }

  undo() {
    const before = this.back.pop();
    if (before) {
      this.view = before;
      this.changed();
    }
  }

  changed() {
    this.asked = performance.now();
    this.find("[data-do=back]").disabled = !this.back.length;
    this.tell(null);
    this.draw();
    this.fetch();
  }

  // ---- data

  address(pane) {
    const base = window.__streamlit?.BACKEND_BASE_URL || `${location.origin}/`;
    const address = new URL(this.data.endpoint, base);
    const wanted = {
      ...this.data.source, clock: pane.clock,
      from: Math.floor(this.view.from + pane.origin), to: Math.ceil(this.view.to + pane.origin),
      width: Math.max(200, Math.round(pane.canvas.clientWidth * (devicePixelRatio || 1))),
    };
    if (this.data.node !== null) wanted.node = this.data.node;
    address.search = new URLSearchParams(wanted).toString();
    return address;
  }

  // One round at a time: what was asked for meanwhile is asked for after it.
  async fetch() {
    if (this.fetching) {
      this.again = true;
      return;
    }
    this.fetching = true;
    const asked = this.asked;
    try {
      await Promise.all(this.panes.map(pane => this.load(pane)));
      this.say();
      this.draw();
      this.root.dataset.drawnMs = (performance.now() - asked).toFixed(1);
    } catch (error) {
      this.say(error.message);
    } finally {
      this.fetching = false;
      this.root.dataset.round = Number(this.root.dataset.round || 0) + 1;
    }
    if (this.again) {
      this.again = false;
      this.fetch();
    }
  }

  async load(pane) {
    let answer;
    try {
      answer = await fetch(this.address(pane), {credentials: "same-origin"});
    } catch {
      throw new Error("The connection was lost. Zoom or move to try again.");
    }
    const reply = await answer.json();
    if (!answer.ok) throw new Error(reply.error?.message || "The timeline cannot be shown.");
    pane.reply = unfolded(reply);
  }

  say(problem) {
    const replies = this.panes.map(pane => pane.reply).filter(Boolean);
    const events = replies.reduce((sum, reply) => sum + reply.event_count, 0);
    const summed = replies.some(reply => reply.bucket_count);
    const hidden = replies.reduce((sum, reply) => sum + reply.hidden_lane_count, 0);
    const status = this.find(".status");
    status.classList.toggle("failed", Boolean(problem));
    status.textContent = problem || [
      `${time(this.view.to - this.view.from)} in view`,
      `${digits(events, 0)} event${events === 1 ? "" : "s"}${summed ? ", drawn as sums" : ""}`,
      ...(hidden ? [`${digits(hidden, 0)} more lanes not shown`] : []),
    ].join(" · ");
    this.find(".legend").replaceChildren(...this.legend());
    this.root.dataset.level = summed ? "sums" : "events";
    this.root.dataset.events = events;
    if (this.find("details").open) this.list();
  }

  list() {
    const pick = node => this.pick("picked", node);
    this.find(".table").replaceChildren(...eventTable(this.panes, this.data.kinds, pick));
  }

  draw() {
    for (const pane of this.panes) {
      pane.drawing = null;
      if (pane.reply && pane.canvas.clientWidth) {
        pane.drawing = new Drawing(pane, this);
        pane.drawing.all();
      }
    }
  }

  // ---- pointing

  point(event) {
    const pane = this.panes.find(p => p.canvas === event.target);
    if (!pane?.drawing) return null;
    const box = pane.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const inside = Math.min(Math.max(x, pane.drawing.place.left), pane.drawing.width);
    const us = (inside - pane.drawing.place.left) / pane.drawing.perUs + this.view.from;
    return {pane, x: inside, y, us, hit: pane.drawing.at(x, y)};
  }

  words(hit) {
    const kind = this.data.kinds[hit.kind];
    if (hit.lane) {
      return [hit.name, hit.detail, `${digits(hit.event_count, 0)} events in the whole trace`,
        `busy for ${time(hit.busy_us)}`];
    }
    if (hit.part) {
      return [
        `mostly ${kind ? kind.label : "other work"}`,
        `${digits(hit.calls, 0)} call${hit.calls === 1 ? "" : "s"} begin in these ${time(hit.width)}`,
        `busy ${digits(Math.min(100, hit.busy / hit.width * 100), 0)} % of the time`,
        `longest call: ${hit.name || "unnamed"}`, "Click to zoom in",
      ];
    }
    const own = hit.self === undefined ? "" : `, ${time(hit.self)} of it its own`;
    return [hit.name || `unnamed ${kind?.op || "event"}`, kind ? kind.label : "",
      `${time(hit.duration)}${own}`, `starts at ${time(hit.start)}`];
  }

  tell(hit, event) {
    const tip = this.find(".tip");
    tip.hidden = !hit;
    if (!hit) return;
    const [title, ...lines] = this.words(hit);
    tip.replaceChildren(element("b", title), ...lines.filter(Boolean).map(t => element("div", t)));
    const box = this.root.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left + 14, event.clientY - box.top + 16];
    tip.style.left = `${Math.max(0, Math.min(x, box.width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${y}px`;
  }

  pressed(event) {
    const at = this.point(event);
    if (!at || event.button !== 0) return;
    this.pointing = true;
    this.root.focus({preventScroll: true});
    this.pointing = false;
    if (event.timeStamp - (this.lastPress || 0) > DOUBLE_MS) this.depth = this.back.length;
    this.lastPress = event.timeStamp;
    at.pane.canvas.setPointerCapture(event.pointerId);
    this.drag = {...at, from: at.x, to: at.x, began: at.us, moved: false, pan: event.shiftKey,
      view: this.view};
    this.drag.pane.canvas.classList.toggle("pannable", event.shiftKey);
  }

  moved(event) {
    const at = this.point(event);
    if (!this.drag) {
      const clickable = at?.hit && (at.hit.part || Number.isInteger(at.hit.node));
      if (at) at.pane.canvas.classList.toggle("on", Boolean(clickable));
      this.tell(at?.hit, event);
      return;
    }
    if (!at) return;
    this.drag.to = at.x;
    this.drag.moved ||= Math.abs(at.x - this.drag.from) >= CLICK_PX;
    this.tell(null);
    if (this.drag.pan && this.drag.moved) {
      const by = (this.drag.from - at.x) / this.drag.pane.drawing.perUs;
      this.go({from: this.drag.view.from + by, to: this.drag.view.to + by}, {forget: true});
    } else {
      this.draw();
    }
  }

  released(event) {
    const drag = this.drag, at = this.point(event);
    this.drag = null;
    if (!drag) return;
    drag.pane.canvas.classList.remove("pannable");
    if (drag.pan && drag.moved) {
      this.back.push(drag.view);
      this.find("[data-do=back]").disabled = false;
    } else if (drag.moved && at) {
      this.go({from: Math.min(drag.began, at.us), to: Math.max(drag.began, at.us)});
    } else {
      this.clicked(drag);
    }
  }

  clicked({hit, us}) {
    this.draw();
    if (!hit) return;
    if (hit.part) this.zoom(1 / 8, us);
    else if (Number.isInteger(hit.node)) this.pick("picked", hit.node);
  }

  listen() {
    const panes = this.find(".panes"), doing = {
      back: () => this.undo(), start: () => this.go(this.data.view), whole: () => this.go(this.limits()),
      in: () => this.zoom(0.5), out: () => this.zoom(2),
    };
    this.root.querySelectorAll("[data-do]").forEach(button => {
      button.onclick = () => doing[button.dataset.do]();
    });
    panes.onpointerdown = event => this.pressed(event);
    panes.onpointermove = event => this.moved(event);
    panes.onpointerup = event => this.released(event);
    panes.onpointercancel = () => { this.drag = null; this.draw(); };
    panes.onpointerleave = () => this.tell(null);
    panes.ondblclick = () => this.undoAll();
    panes.addEventListener("wheel", event => this.wheeled(event), {passive: false});
    // A frame around everything helps the keyboard only.
    this.root.onfocus = () => this.root.classList.toggle("keys", !this.pointing);
    this.root.onkeydown = event => this.typed(event, doing);
    this.find("details").ontoggle = event => event.target.open && this.list();
    this.seen = new ResizeObserver(() => {
      const width = this.root.clientWidth;
      if (!this.panes || width === this.width) return;
      this.width = width;
      this.changed();
    });
    this.seen.observe(this.root);
  }

  wheeled(event) {
    const at = this.point(event);
    if (!at) return;
    if (event.ctrlKey) {
      event.preventDefault();
      this.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 100), at.us);
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      this.move(event.deltaX / Math.max(1, at.pane.drawing.width));
    }
  }

  typed(event, doing) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.root) return;
    const keys = {
      w: () => this.zoom(0.5), s: () => this.zoom(2), a: () => this.move(-0.25),
      d: () => this.move(0.25), ArrowLeft: () => this.move(-0.25), ArrowRight: () => this.move(0.25),
      "+": doing.in, "-": doing.out, 0: doing.start, Escape: doing.back, Home: doing.whole,
    };
    const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }
}

export default function (component) {
  const root = component.parentElement.querySelector(".timeline");
  if (!states.has(root)) states.set(root, new Timeline(root));
  states.get(root).update(component);
  return () => {
    states.get(root)?.seen.disconnect();
    states.delete(root);
  };
}
