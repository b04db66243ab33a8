"""A running study, drawn by the browser itself from `/api/jobs/{id}`.

The page script stays out of it: a poll costs the server 2 ms here, a rerun 50 ms, which the
measurement beside it would feel. The script runs again only when a row is finished.
"""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

_HTML = """
<div class="live" role="status" aria-live="polite">
  <div class="head"><span class="phase"></span><span class="left"></span></div>
  <div class="track"><div class="fill"></div></div>
  <div class="rows"></div>
  <div class="lost" hidden>Connection lost, retrying.
    The measurement goes on without this page.</div>
</div>
"""

_CSS = """
.live { font-family: var(--st-font); color: var(--st-text-color); font-size: 0.95rem; }
.head { display: flex; justify-content: space-between; gap: 1rem; margin-bottom: 0.4rem; }
.left { opacity: 0.75; white-space: nowrap; }
.track { height: 8px; border-radius: 4px; background: var(--st-secondary-background-color);
  border: 1px solid var(--st-border-color); overflow: hidden; }
.fill { height: 100%; width: 0; background: var(--st-primary-color); transition: width 0.6s; }
.rows { display: grid; grid-template-columns: 1.4rem 1fr auto; gap: 0.25rem 0.6rem;
  margin-top: 0.9rem; }
.row { display: contents; }
.name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.state { opacity: 0.75; text-align: right; font-variant-numeric: tabular-nums; }
.mark { width: 0.7rem; height: 0.7rem; border-radius: 50%; align-self: center; margin: auto;
  border: 1.5px solid var(--st-text-color); opacity: 0.45; }
.mark.busy { border-color: var(--st-primary-color); border-top-color: transparent; opacity: 1;
  animation: turn 1s linear infinite; }
.mark.done { background: var(--st-primary-color); border-color: var(--st-primary-color);
  opacity: 1; }
.mark.failed { background: #B35806; border-color: #B35806; border-radius: 0; opacity: 1; }
.lost { margin-top: 0.6rem; color: #B35806; }
@keyframes turn { to { transform: rotate(360deg); } }
@media (prefers-reduced-motion: reduce) { .mark.busy { animation: none; } }
"""

_JS = """
const timers = new WeakMap()
const ENDED = ["done", "failed", "cancelled", "lost"]

function time(us) {
  if (us == null) return ""
  const [value, unit] = us < 1e3 ? [us, "µs"] : us < 1e6 ? [us / 1e3, "ms"] : [us / 1e6, "s"]
  return value.toPrecision(3) + "\\u2009" + unit
}

function left(seconds) {
  if (seconds == null) return ""
  const whole = Math.max(0, Math.round(seconds))
  const text = whole < 90 ? whole + "\\u2009s" : Math.round(whole / 60) + "\\u2009min"
  return "about " + text + " left"
}

function phase(progress) {
  if (progress.status === "queued") {
    const ahead = progress.queue_position
    const plural = ahead > 1 ? "s" : ""
    return ahead ? `Waiting: ${ahead} measurement${plural} before this one` : "Starting"
  }
  return progress.message || progress.phase || "Working"
}

function draw(root, progress, labels) {
  root.querySelector(".phase").textContent = phase(progress)
  root.querySelector(".left").textContent = left(progress.seconds_left)
  root.querySelector(".fill").style.width = Math.round((progress.done_share || 0) * 100) + "%"
  const states = new Map((progress.rows || []).map(([id, state, p50]) => [id, [state, p50]]))
  const rows = root.querySelector(".rows")
  rows.replaceChildren()
  for (const [id, label] of labels) {
    const [state, p50] = states.get(id) || ["waiting", null]
    const kind = state === "done" || state === "failed" ? state : state === "waiting" ? "" : "busy"
    const row = document.createElement("div")
    row.className = "row"
    for (const [name, text] of [["mark " + kind, ""], ["name", label],
                                ["state", p50 == null ? state : state + "  " + time(p50)]]) {
      const cell = document.createElement("div")
      cell.className = name
      cell.textContent = text
      row.append(cell)
    }
    rows.append(row)
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".live")
  clearTimeout(timers.get(parentElement))
  let told = false
  const finished = (p) => (p.rows || []).filter((r) => r[1] === "done" || r[1] === "failed").length
  const poll = async () => {
    try {
      const answer = await fetch(data.address, { cache: "no-store" })
      if (!answer.ok) throw new Error(String(answer.status))
      const progress = await answer.json()
      root.querySelector(".lost").hidden = true
      draw(root, progress, data.labels)
      const mark = progress.status + ":" + finished(progress)
      const ended = ENDED.includes(progress.status)
      if ((ended || finished(progress) > data.finished) && !told) {
        told = true
        setTriggerValue("moved", mark)
      }
      if (ended) return
    } catch (error) {
      root.querySelector(".lost").hidden = false
    }
    timers.set(parentElement, setTimeout(poll, 1000))
  }
  poll()
  return () => clearTimeout(timers.get(parentElement))
}
"""

_COMPONENT = st.components.v2.component("ortlab_live", html=_HTML, css=_CSS, js=_JS)


def show(study_id: str, *, labels: Mapping[str, str], finished: int) -> None:
    """Progress of one study until it ends.

    Args:
        labels: row id to name; names are set as text, never as markup.
        finished: rows that this run of the page already shows; more make it run again.
    """
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    address = f"/{base}/api/jobs/{study_id}" if base else f"/api/jobs/{study_id}"
    _COMPONENT(
        key=f"live-{study_id}",
        data={"address": address, "labels": list(labels.items()), "finished": finished},
        on_moved_change=lambda: None,
    )
