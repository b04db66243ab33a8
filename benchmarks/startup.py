"""What a person waits for: the server, the first words, the first chart, another page.

The clock of the first three starts with the server's process, on a home that holds one
measured study; the browser is open already. Memory is that of the server's process.
"""

from __future__ import annotations

import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import psutil
from onnx import TensorProto, helper, numpy_helper
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.rows import Row, publish
from ortlab.lab import Lab
from tests.browser.conftest import FLAGS
from tests.conftest import GET_CHROMIUM, find_chromium

ROOT = Path(__file__).resolve().parents[1]
# The middle one counts; the best tells what a machine without neighbours would do.
REPEATS = 5
UPLOADS = 20
UPLOAD_MB = 50
MAX_MB = 400
PATIENCE_MS = 60_000
CHART = ".js-plotly-plot .main-svg"


def rows() -> Iterator[Row]:
    """One row per wait, and one for the memory."""
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit(GET_CHROMIUM)
    with tempfile.TemporaryDirectory() as text, sync_playwright() as playwright:
        folder = Path(text)
        study_id = measured(folder)
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        for name, limit_s, values in waits(folder, browser, study_id):
            middle = statistics.median(values)
            said = f"{middle:.2f} s (best {min(values):.2f} s)"
            yield Row(name, said, f"<= {limit_s} s", middle <= limit_s)
        used = uploaded(folder, browser)
        yield Row(f"app process after {UPLOADS} uploads of {UPLOAD_MB} MB", f"{used:.0f} MB",
                  f"< {MAX_MB} MB", used < MAX_MB)  # fmt: skip
        browser.close()


def waits(
    folder: Path, browser: Browser, study_id: str
) -> Iterator[tuple[str, float, list[float]]]:
    """Name, target and every observation of the four waits, s."""
    seen = [started(folder, browser, study_id) for _ in range(REPEATS)]
    names = (("start: first byte", 0.7), ("start: first text", 1.5), ("start: first chart", 2.5))
    for index, (name, limit_s) in enumerate(names):
        yield name, limit_s, [values[index] for values in seen]
    with serving(folder) as (address, _, _):
        yield "page change with a stored result", 1.0, changes(browser, address)


def started(folder: Path, browser: Browser, study_id: str) -> tuple[float, float, float]:
    """Seconds from the start of a server to its first byte, text and chart."""
    with opened(browser) as page, serving(folder) as (address, start, _):
        first_byte = time.perf_counter() - start
        page.goto(address)
        page.wait_for_selector("h1")
        first_text = time.perf_counter() - start
    with opened(browser) as page, serving(folder) as (address, start, _):
        page.goto(f"{address}/results?run={study_id}")
        page.wait_for_selector(CHART)
        return first_byte, first_text, time.perf_counter() - start


def changes(browser: Browser, address: str) -> list[float]:
    """Seconds from the click on a stored study to its chart; the first visit is left out."""
    values = []
    with opened(browser) as page:
        for _ in range(REPEATS + 1):
            page.goto(address)
            link = page.locator("[data-testid=stPageLink-NavLink]").first
            link.wait_for()
            settle(page)
            start = time.perf_counter()
            link.click()
            page.wait_for_selector(CHART)
            values.append(time.perf_counter() - start)
    return values[1:]


def uploaded(folder: Path, browser: Browser) -> float:
    """Megabytes the server's process holds after many large models went through the page."""
    with serving(folder) as (address, _, process), opened(browser) as page:
        for number in range(UPLOADS):
            name = f"large{number}.onnx"
            path = large_model(folder / name, seed=number)
            page.goto(address)
            page.locator("input[type=file]").first.set_input_files(path)
            page.get_by_role("heading", name=name).wait_for()
            settle(page)
            path.unlink()
        return float(psutil.Process(process.pid).memory_info().rss / 1e6)


def measured(folder: Path) -> str:
    """The id of a study in the home that the servers open."""
    sample = ROOT / "sample_models" / "digits_cnn.onnx"
    lab = Lab.open(folder / "home")
    return lab.bench(sample, levels=["all", "disabled"], seconds=2, profile=True).id


def large_model(path: Path, *, seed: int) -> Path:
    """A model of 50 MB whose weights differ from those of every other seed."""
    count = UPLOAD_MB * 1_000_000 // 4
    weights = np.random.default_rng(seed).standard_normal(count, dtype=np.float32)
    shape = [1, count]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])], "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weights.reshape(shape), "w")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, float, subprocess.Popen[bytes]]]:
    """Address, start time and process of a server that has sent its first byte."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    environment = os.environ | {"ORTLAB_HOME": str(folder / "home")}
    with (folder / "server.log").open("ab") as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        while not first_byte(port):
            time.sleep(0.005)
        yield f"http://127.0.0.1:{port}", start, process
    finally:
        process.terminate()
        process.wait(timeout=20)


def first_byte(port: int) -> bool:
    """Whether the server answers with its page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def opened(browser: Browser) -> Iterator[Page]:
    """A page of a fresh profile: nothing is cached."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


def settle(page: Page) -> None:
    """Wait until the page's script has run to its end."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")


if __name__ == "__main__":
    publish(rows())
