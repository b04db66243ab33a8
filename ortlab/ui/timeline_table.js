// The events in view as a table, for those who cannot see or point at the picture.
// Every name is foreign: it only ever becomes the text of a node.

const TABLE_ROWS = 300;
const NUMBERS = ["Starts at", "Duration", "Self time"];

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// A sentence, and below it the table where events are few enough to be told apart.
function eventTable(panes, kinds, pick) {
  const several = panes.length > 1;
  if (panes.some(pane => pane.reply?.bucket_count)) {
    return [element("p", "There are too many events to list here: zoom in until each is drawn.",
      "note")];
  }
  const events = panes.flatMap(pane => paneEvents(pane));
  const head = element("tr");
  head.append(...[...(several ? ["Shown in"] : []), "Thread or stream", "Node", "Operator"].map(
    text => element("th", text)), ...NUMBERS.map(text => element("th", text, "number")));
  const table = element("table"), body = element("tbody");
  const shown = TABLE_ROWS / panes.length;
  for (const pane of panes) {
    const mine = events.filter(event => event.pane === pane).slice(0, shown);
    body.append(...mine.map(event => eventLine(event, kinds[event.kind], {several, pick})));
  }
  table.append(element("thead"), body);
  table.tHead.append(head);
  const left = events.length - body.children.length;
  const note = left ? `${digits(left, 0)} further events are not listed; zoom in to see them.` : "";
  return [element("p", note, "note"), table];
}

function paneEvents(pane) {
  if (!pane.reply) return [];
  const lane = pane.reply.lanes.flatMap(told => told.depths.map(() => told.name));
  const found = pane.reply.rows.flatMap(row => row.at.map((start, i) => {
    const [name, kind, node] = pane.reply.items[row.item[i]];
    return {
      pane, lane: lane[row.row], name, kind, node: node ?? null, start: start - pane.origin,
      duration: row.duration_us[i], self: (row.self_us || {})[i] ?? row.duration_us[i],
    };
  }));
  return found.sort((a, b) => a.start - b.start);
}

function eventLine(event, kind, {several, pick}) {
  const row = element("tr"), cell = element("td");
  const name = event.name || `unnamed ${kind?.op || "event"}`;
  if (event.node === null) {
    cell.textContent = name;
  } else {
    const button = element("button", name);
    button.type = "button";
    button.onclick = () => pick(event.node);
    cell.append(button);
  }
  if (several) row.append(element("td", `run ${event.pane.run}`));
  row.append(element("td", event.lane), cell, element("td", kind?.label || ""),
    ...[event.start, event.duration, event.self].map(us => element("td", time(us), "number")));
  return row;
}

