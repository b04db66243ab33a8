// How one pane of the timeline is laid out, drawn, and asked what lies under the pointer.
// Numbers are µs; `view` counts from the pane's origin, replies count from the trace's start.

const AXIS_PX = 26, STRIP_PX = 20, LANE_GAP_PX = 8, TEXT_PX = 12;
const HATCH_PX = 6, FADED = 0.38;
const UNKNOWN = {op: "", text: "#FFFFFF", color: "#7F7F7F", fallback: false};
const THIN = "\u2009";

const UNITS = [[1e6, "s"], [1e3, "ms"], [1, "µs"]];

function digits(value, count) {
  const text = value.toLocaleString("en", {minimumFractionDigits: count, maximumFractionDigits: count});
  return text.replace("-", "−");
}

function time(us) {
  const [size, unit] = UNITS.find(([s]) => Math.abs(us) >= s) || UNITS[2];
  const value = us / size;
  const whole = unit === "µs" ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return `${digits(value, whole)}${THIN}${unit}`;
}

// Ticks at 1, 2 or 5 times a power of ten, at least `apart` pixels from each other.
function ticks(view, width, apart) {
  const least = Math.max(1, (view.to - view.from) * apart / Math.max(1, width));
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map(n => n * power).find(n => n >= least);
  const farthest = Math.max(Math.abs(view.from), Math.abs(view.to));
  const [size, unit] = UNITS.find(([s]) => farthest >= s) || UNITS[2];
  const places = Math.max(0, Math.ceil(-Math.log10(step / size) - 1e-9));
  const found = [];
  for (let n = Math.ceil(view.from / step); n * step <= view.to; n += 1) {
    found.push([n * step, `${digits(n * step / size, n ? places : 0)}${THIN}${unit}`]);
  }
  return found;
}

function palette(root) {
  const style = getComputedStyle(root);
  const of = (name, other) => style.getPropertyValue(name).trim() || other;
  return {
    text: of("--st-text-color", "#2A2A27"),
    back: of("--st-background-color", "#FFFFFF"),
    panel: of("--st-secondary-background-color", "#F6F7F7"),
    line: of("--st-border-color", "#D5D9DB"),
    accent: of("--st-primary-color", "#0B6E99"),
    font: of("--st-font", "sans-serif"),
  };
}

// What a reply holds, with differences added up: per row the starts, or the parts, in full.
function unfolded(reply) {
  for (const row of reply.rows) {
    const spans = row.type === "spans";
    let at = spans ? reply.start_us : 0;
    row.item ??= [];
    row.at = ((spans ? row.steps_us : row.steps) || []).map(step => (at += step));
    row.selected = new Set(row.selected || []);
  }
  reply.width = (reply.end_us - reply.start_us) / Math.max(1, reply.bucket_count);
  return reply;
}

// Where rows lie: `rows[i]` is the top and height of row i of a reply.
function layout(reply, width) {
  const narrow = width < 640;
  const count = reply.lanes.reduce((sum, lane) => sum + lane.depths.length, 0);
  const height = count > 24 ? 15 : count > 8 ? 22 : 30;
  const strip = reply.run_count > 0;
  let top = AXIS_PX + (strip ? STRIP_PX + LANE_GAP_PX / 2 : 0);
  const rows = [], lanes = [];
  for (const lane of reply.lanes) {
    lanes.push({...lane, top, height: lane.depths.length * height});
    for (const depth of lane.depths) {
      rows.push({top, height: height - 2, depth});
      top += height;
    }
    top += LANE_GAP_PX;
  }
  return {left: narrow ? 84 : 118, strip, rows, lanes, height: Math.max(top, AXIS_PX + 40)};
}

function shortened(ctx, text, room) {
  if (ctx.measureText(text).width <= room) return text;
  let low = 0, high = text.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (ctx.measureText(text.slice(0, middle) + "…").width <= room) low = middle;
    else high = middle - 1;
  }
  return low > 2 ? text.slice(0, low) + "…" : "";
}

class Drawing {
  constructor(pane, state) {
    this.pane = pane;
    this.state = state;
    this.reply = pane.reply;
    this.width = pane.canvas.clientWidth;
    this.place = layout(this.reply, this.width);
    this.colors = state.colors;
    this.kinds = state.data.kinds;
    const scale = window.devicePixelRatio || 1;
    const height = this.place.height;
    pane.canvas.style.height = `${height}px`;
    const [w, h] = [Math.round(this.width * scale), Math.round(height * scale)];
    if (pane.canvas.width !== w || pane.canvas.height !== h) {
      pane.canvas.width = w;
      pane.canvas.height = h;
    }
    this.ctx = pane.canvas.getContext("2d");
    this.ctx.setTransform(scale, 0, 0, scale, 0, 0);
    this.ctx.textBaseline = "middle";
    this.perUs = (this.width - this.place.left) / (state.view.to - state.view.from);
  }

  x(us) {
    return this.place.left + (us - this.pane.origin - this.state.view.from) * this.perUs;
  }

  font(size, weight = 400) {
    this.ctx.font = `${weight} ${size}px ${this.colors.font}`;
  }

  all() {
    const {ctx, place} = this;
    ctx.clearRect(0, 0, this.width, place.height);
    this.lanes();
    this.axis();
    ctx.save();
    ctx.beginPath();
    ctx.rect(place.left, 0, this.width - place.left, place.height);
    ctx.clip();
    if (place.strip) this.runs();
    for (const row of this.reply.rows) {
      if (place.rows[row.row]) row.type === "spans" ? this.spans(row) : this.buckets(row);
    }
    this.dragged();
    ctx.restore();
  }

  lanes() {
    const {ctx, place, colors} = this;
    for (const lane of place.lanes) {
      ctx.fillStyle = colors.panel;
      ctx.fillRect(place.left, lane.top - 2, this.width - place.left, lane.height + 2);
      this.font(TEXT_PX, 500);
      ctx.fillStyle = colors.text;
      const first = place.rows.find(row => row.top === lane.top);
      if (first) ctx.fillText(shortened(ctx, lane.name, place.left - 12), 2,
        lane.top + first.height / 2);
    }
    this.font(TEXT_PX - 1);
    ctx.globalAlpha = 0.7;
    place.rows.forEach((row, i) => {
      const repeated = i && place.rows[i - 1].depth === row.depth;
      const lane = place.lanes.some(l => l.top === row.top);
      if (!lane && row.height > 14) {
        ctx.fillText(repeated ? "overlapping" : `nested ${row.depth}`, 12, row.top + row.height / 2);
      }
    });
    ctx.globalAlpha = 1;
  }

  axis() {
    const {ctx, place, colors, state} = this;
    this.font(TEXT_PX);
    ctx.lineWidth = 1;
    for (const [us, text] of ticks(state.view, this.width - place.left, 96)) {
      const x = Math.round(this.x(us + this.pane.origin)) + 0.5;
      ctx.strokeStyle = colors.line;
      ctx.beginPath();
      ctx.moveTo(x, AXIS_PX - 6);
      ctx.lineTo(x, place.height);
      ctx.stroke();
      ctx.fillStyle = colors.text;
      const wide = ctx.measureText(text).width;
      ctx.fillText(text, Math.min(Math.max(x - wide / 2, place.left), this.width - wide - 1), 9);
    }
  }

  runs() {
    const {ctx, colors} = this;
    const top = AXIS_PX, height = STRIP_PX - 4;
    this.font(TEXT_PX - 1);
    for (const [number, start, duration, warmup] of this.reply.runs) {
      const [x, end] = [this.x(start), this.x(start + duration)];
      const [from, to] = [Math.max(x, this.place.left), Math.min(end, this.width)];
      if (to < this.place.left || from > this.width) continue;
      ctx.globalAlpha = number === this.pane.run ? 0.35 : warmup ? 0.1 : 0.18;
      ctx.fillStyle = number === this.pane.run ? colors.accent : colors.text;
      ctx.fillRect(x + 0.5, top, Math.max(1, end - x - 1), height);
      ctx.globalAlpha = 1;
      ctx.fillStyle = colors.text;
      const label = [`run ${number}${warmup ? ", warm-up" : ""}`, `run ${number}`, `${number}`].find(
        text => ctx.measureText(text).width <= to - from - 8);
      if (label) ctx.fillText(label, from + 4, top + height / 2 + 0.5);
    }
    if (!this.reply.runs.length) {
      ctx.fillStyle = colors.text;
      ctx.globalAlpha = 0.7;
      ctx.fillText(`${digits(this.reply.run_count, 0)} runs`, this.place.left + 4, top + height / 2);
      ctx.globalAlpha = 1;
    }
  }

  fill(kind) {
    const {color, fallback} = this.kinds[kind] || UNKNOWN;
    return fallback ? this.state.hatched(this.ctx, color) : color;
  }

  spans(row) {
    const {ctx, reply, state} = this, {top, height} = this.place.rows[row.row];
    const node = state.data.node, chosen = [];
    this.font(height > 24 ? TEXT_PX : height > 14 ? TEXT_PX - 1 : TEXT_PX - 2);
    row.at.forEach((start, i) => {
      const x = this.x(start), exact = row.duration_us[i] * this.perUs;
      if (x > this.width || x + exact < this.place.left) return;
      const [name, kind, owner] = reply.items[row.item[i]];
      const wide = exact > 4 ? exact - 1 : Math.max(1, exact);
      const faded = node !== null && owner !== node;
      ctx.globalAlpha = faded ? FADED : 1;
      ctx.fillStyle = this.fill(kind);
      ctx.fillRect(x, top, wide, height);
      if (owner === node && node !== null) chosen.push([x, wide]);
      ctx.globalAlpha = 1;
      if (exact > 26) this.label(name, kind, {x, wide, top, height, faded});
    });
    ctx.globalAlpha = 1;
    ctx.strokeStyle = this.colors.text;
    ctx.lineWidth = 2;
    for (const [x, wide] of chosen) {
      ctx.strokeRect(x + 1, top + 1, Math.max(1, wide - 2), height - 2);
    }
  }

  label(name, kind, {x, wide, top, height, faded}) {
    const {ctx} = this, {op, text, color, fallback} = this.kinds[kind] || UNKNOWN;
    const [from, to] = [Math.max(x, this.place.left), Math.min(x + wide, this.width)];
    const room = to - from - 8;
    if (room < 18) return;
    const fits = name && ctx.measureText(name).width <= room;
    const label = fits ? name : shortened(ctx, op || name, room);
    if (!label) return;
    if (fallback && !faded) {
      // Letters between the lines of a hatch cannot be read.
      ctx.fillStyle = color;
      ctx.fillRect(from + 1, top + 3, ctx.measureText(label).width + 6, height - 6);
    }
    ctx.fillStyle = faded ? this.colors.text : text;
    ctx.fillText(label, from + 4, top + height / 2 + 0.5);
  }

  buckets(row) {
    const {ctx, reply, state} = this, {top, height} = this.place.rows[row.row];
    ctx.globalAlpha = 1;
    row.at.forEach((part, i) => {
      const x = this.x(reply.start_us + part * reply.width);
      const wide = reply.width * this.perUs;
      if (x > this.width || x + wide < this.place.left) return;
      const share = Math.min(1, row.busy_us[i] / reply.width);
      const tall = Math.max(1, Math.round(height * share));
      const marked = state.data.node === null || row.selected.has(part);
      ctx.fillStyle = this.fill(row.kind[i]);
      ctx.globalAlpha = marked ? 1 : FADED;
      // Neighbours overlap by a hair, so that no seam of the background shows.
      ctx.fillRect(x, top + height - tall, wide + 0.6, tall);
    });
    ctx.globalAlpha = 1;
    ctx.fillStyle = this.colors.text;
    for (const part of row.selected) {
      const x = this.x(reply.start_us + part * reply.width);
      ctx.fillRect(x, top, Math.max(2, reply.width * this.perUs), 3);
    }
  }

  dragged() {
    const drag = this.state.drag;
    if (!drag || drag.pan || !drag.moved) return;
    const [from, to] = [Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)];
    this.ctx.globalAlpha = 0.18;
    this.ctx.fillStyle = this.colors.accent;
    this.ctx.fillRect(from, 0, to - from, this.place.height);
    this.ctx.globalAlpha = 1;
    this.font(TEXT_PX, 600);
    this.ctx.fillStyle = this.colors.text;
    const text = time((to - from) / this.perUs);
    this.ctx.fillText(text, Math.max(this.place.left + 2, from + 4), this.place.height - 10);
  }

  // The lane whose label stands at this height, or null.
  laneAt(y) {
    const lane = this.place.lanes.find(told => y >= told.top && y < told.top + told.height);
    return lane ? {lane: true, ...lane} : null;
  }

  // The span or part at a point: {row, index} with what a tooltip tells, or null.
  at(x, y) {
    const index = this.place.rows.findIndex(r => y >= r.top && y < r.top + r.height + 2);
    const row = this.reply.rows.find(r => r.row === index);
    if (x < this.place.left) return this.laneAt(y);
    if (!row) return null;
    return row.type === "spans" ? this.spanAt(row, x) : this.bucketAt(row, x);
  }

  spanAt(row, x) {
    let best = null, near = 3;
    row.at.forEach((start, i) => {
      const left = this.x(start), right = left + row.duration_us[i] * this.perUs;
      const away = x < left ? left - x : x > right ? x - right : 0;
      if (away < near) [best, near] = [i, away];
    });
    if (best === null) return null;
    const [name, kind, node] = this.reply.items[row.item[best]];
    return {
      name, kind, node: node ?? null, start: row.at[best] - this.pane.origin,
      duration: row.duration_us[best], self: (row.self_us || {})[best],
    };
  }

  bucketAt(row, x) {
    const us = (x - this.place.left) / this.perUs + this.state.view.from + this.pane.origin;
    const part = Math.floor((us - this.reply.start_us) / this.reply.width);
    const i = row.at.indexOf(part);
    if (i < 0) return null;
    const [name] = this.reply.items[row.item[i]];
    return {
      name, kind: row.kind[i], part: true, calls: row.calls[i], busy: row.busy_us[i],
      width: this.reply.width, start: this.reply.start_us + part * this.reply.width - this.pane.origin,
    };
  }
}

// Diagonal lines over a colour: work that fell back to another provider.
function hatching() {
  const made = new Map();
  return (ctx, color) => {
    if (!made.has(color)) {
      const tile = document.createElement("canvas");
      tile.width = tile.height = HATCH_PX;
      const on = tile.getContext("2d");
      on.fillStyle = color;
      on.fillRect(0, 0, HATCH_PX, HATCH_PX);
      on.strokeStyle = "rgba(255,255,255,0.6)";
      on.lineWidth = 1.2;
      on.beginPath();
      for (const shift of [-HATCH_PX, 0, HATCH_PX]) {
        on.moveTo(shift, HATCH_PX);
        on.lineTo(shift + HATCH_PX, 0);
      }
      on.stroke();
      made.set(color, ctx.createPattern(tile, "repeat"));
    }
    return made.get(color);
  };
}
