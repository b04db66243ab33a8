"""A real server on a free port, and a real browser that tells on every request."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.conftest import ROOT

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
# How long a step may take before a test gives up on it; nothing is judged by its time.
PATIENCE_MS = 120_000
_START_S = 60.0


class Server(NamedTuple):
    """Where the dashboard answers, and where it keeps things."""

    address: str
    home: Path


class Watched(NamedTuple):
    """A page, and what its browser did that it should not have."""

    page: Page
    outside: list[str]
    errors: list[str]


def free_port() -> int:
    """A port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The dashboard as `streamlit run app.py` starts it, on a home of its own."""
    folder = tmp_path_factory.mktemp("browser")
    port = free_port()
    environment = os.environ | {"ORTLAB_HOME": str(folder / "home"), "ORTLAB_RUNNER_IDLE_S": "2"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)],
            cwd=ROOT, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(address, process, folder / "server.log")
        yield Server(address, folder / "home")
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/api/health", timeout=5):
                return
        except urllib.error.URLError:
            time.sleep(0.1)
    pytest.fail(f"The server did not start:\n{log.read_text()}", pytrace=False)


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """One Chromium for all tests; every test has a context of its own in it."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile: nothing remembered from another test."""
    made = browser.new_context(viewport={"width": 1280, "height": 1000})
    made.set_default_timeout(PATIENCE_MS)
    yield made
    made.close()


@pytest.fixture
def visitor(context: BrowserContext, server: Server) -> Iterator[Page]:
    """A page whose every request must stay on this machine, and whose console must stay quiet."""
    watched = watch(context.new_page(), server)
    yield watched.page
    assert watched.outside == []
    assert watched.errors == []


def watch(page: Page, server: Server) -> Watched:
    """The page, with a list of requests that leave the machine and one of errors."""
    watched = Watched(page, [], [])
    inside = (server.address, server.address.replace("http", "ws", 1), "data:", "blob:")
    page.on(
        "request", lambda r: None if r.url.startswith(inside) else watched.outside.append(r.url)
    )
    page.on(
        "websocket", lambda w: None if w.url.startswith(inside) else watched.outside.append(w.url)
    )
    page.on("console", lambda m: watched.errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: watched.errors.append(str(e)))
    return watched


def settle(page: Page) -> None:
    """Wait until the page's script has run to its end."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")


def drop(page: Page, *files: Path) -> None:
    """Give files to the drop zone, as a person's drop does."""
    page.locator("input[type=file]").first.set_input_files(list(files))
