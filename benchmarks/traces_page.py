"""A trace in the page, in a real Chromium: opened, opened again, and seen every way."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, Response, WebSocket, sync_playwright

from benchmarks.rows import Row
from benchmarks.startup import CHART, opened, serving, settle
from benchmarks.traces_files import ROOT
from ortlab.lab import Lab
from tests.browser.conftest import FLAGS
from tests.conftest import GET_CHROMIUM, find_chromium

REPEATS = 3
NAMING_MS = 2_000
MAX_COLD_S, MAX_AGAIN_S = 4.0, 0.5
MAX_SERVER_MS, MAX_DRAWN_MS, MAX_SENT_KB = 10, 300, 100
VIEWS = {"operators": "Operators", "icicle": "Flame", "nodes": "Nodes", "timeline": "Timeline",
         "runs": "Runs", "memory": "Memory", "threads": "Threads"}  # fmt: skip

# Milliseconds since the click once the view asked for is drawn, else nothing. Components keep
# what they draw in trees of their own.
DRAWN = """view => {
    const found = (root, what) => [
        ...root.querySelectorAll(what),
        ...[...root.querySelectorAll("*")].filter(e => e.shadowRoot)
            .flatMap(e => found(e.shadowRoot, what)),
    ];
    const app = document.querySelector("[data-testid=stApp]");
    const main = document.querySelector("main") || document;
    const asked = new URL(location).searchParams.get("view") === view;
    const idle = app && app.dataset.testScriptState === "notRunning";
    const waiting = main.querySelector("[data-stale=true]")
        || [...main.querySelectorAll("[data-testid=stPlotlyChart]")]
            .some(e => !e.querySelector(".main-svg"))
        || found(main, ".timeline:not([data-drawn-ms])").length;
    return asked && idle && !waiting
        && found(main, ".main-svg, canvas, table").some(e => e.getBoundingClientRect().height > 0)
        && performance.now() - window.clickedAt;
}"""
LISTEN = """() => document.addEventListener(
    "click", () => { window.clickedAt = performance.now(); }, {capture: true, once: true})"""


@contextmanager
def browsing() -> Iterator[Browser]:
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit(GET_CHROMIUM)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


def opening(path: Path, folder: Path) -> Iterator[Row]:
    """From the click on *Open* to a chart that can be read: first on a fresh home, then again.

    The file is named by its path, so nothing is uploaded. The server has answered one page,
    and has the time that a person needs to name a file.
    """
    cold, again = [], []
    with browsing() as browser:
        for _ in range(REPEATS):
            with serving(folder) as (address, _, _), opened(browser) as page:
                cold.append(by_path(page, address, path))
                again.append(by_path(page, address, path))
            shutil.rmtree(folder / "home")
    for title, values, limit_s in (
        ("200 MB: cold open in the page, from the click to the operators", cold, MAX_COLD_S),
        ("200 MB: the same file opened again in the page", again, MAX_AGAIN_S),
    ):
        middle = statistics.median(values)
        said = f"{middle:.2f} s (best {min(values):.2f} s)"
        yield Row(title, said, f"<= {limit_s} s", middle <= limit_s)


def by_path(page: Page, address: str, path: Path) -> float:
    """Seconds from the click to the chart of the operators."""
    page.goto(address)
    page.get_by_role("button", name="Open a path").click()
    page.get_by_label("Path of a").fill(str(path))
    settle(page)
    page.wait_for_timeout(NAMING_MS)
    page.evaluate(LISTEN)
    page.get_by_role("button", name="Open", exact=True).click()
    handle = page.wait_for_function(
        f"""() => location.pathname.endsWith("/profile") && document.querySelector("{CHART}")
        && performance.now() - window.clickedAt"""
    )
    return float(handle.json_value()) / 1e3


def views(path: Path, folder: Path) -> Iterator[Row]:
    """Every view of a trace that is open: work of the server, bytes sent, click to drawn."""
    trace = Lab.open(folder / "home").open_trace(path)
    path.unlink()
    yield from server(folder, trace)
    yield from clicks(folder, trace)


def server(folder: Path, trace: str) -> Iterator[Row]:
    """What the server does for the data of each view."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.traces_views", str(folder / "home"), trace],
        text=True, check=True, stdout=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    for name, milliseconds in json.loads(done.stdout).items():
        yield Row(f"5 M events (a recording five times in a row): {name}, server",
                  f"{milliseconds:.1f} ms", f"<= {MAX_SERVER_MS} ms",
                  milliseconds <= MAX_SERVER_MS)  # fmt: skip


def clicks(folder: Path, trace: str) -> Iterator[Row]:
    """What a person waits for, and what is sent meanwhile."""
    with browsing() as browser, serving(folder) as (address, _, _), opened(browser) as page:
        for name, drawn_ms, sent_kb in seen(page, f"{address}/profile?trace={trace}"):
            said = f"{drawn_ms:.0f} ms, {sent_kb:.0f} kB"
            yield Row(f"5 M events: {name}, from click to drawn, and bytes sent", said,
                      f"<= {MAX_DRAWN_MS} ms, <= {MAX_SENT_KB} kB",
                      drawn_ms <= MAX_DRAWN_MS and sent_kb <= MAX_SENT_KB)  # fmt: skip


def seen(page: Page, address: str) -> Iterator[tuple[str, float, float]]:
    """Name, milliseconds and kilobytes of each view; a first round of clicks is left out."""
    sent: list[int] = []

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", lambda data: sent.append(len(data)))

    def count(response: Response) -> None:
        if "/api/" in response.url:
            sent.append(len(response.body()))

    page.on("websocket", listen)
    page.on("response", count)
    page.goto(address)
    page.wait_for_selector(CHART)
    settle(page)
    found: dict[str, list[tuple[float, float]]] = {view: [] for view in VIEWS}
    for _ in range(REPEATS + 1):
        for view, title in [*list(VIEWS.items())[1:], next(iter(VIEWS.items()))]:
            sent.clear()
            page.evaluate(LISTEN)
            page.get_by_role("radio", name=title, exact=True).click()
            handle = page.wait_for_function(DRAWN, arg=view)
            drawn_ms = float(handle.json_value())
            page.wait_for_timeout(300)
            found[view].append((drawn_ms, sum(sent) / 1e3))
    for view, values in found.items():
        times, sizes = zip(*values[1:], strict=True)
        yield VIEWS[view].lower(), statistics.median(times), statistics.median(sizes)
