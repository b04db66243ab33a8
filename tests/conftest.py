"""What every test may use: the checkout's folders, a home of its own, a Chromium."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
GET_CHROMIUM = (
    "No Chromium was found, so the browser tests cannot run. Get one with "
    "`apt-get install chromium` or `python -m playwright install chromium`, "
    "or point ORTLAB_CHROMIUM at the program."
)

# Its wheels report home by default; workers set this themselves.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def find_chromium() -> str | None:
    """Path of a Chromium: the one named in ORTLAB_CHROMIUM, installed, or Playwright's own."""
    named = os.environ.get("ORTLAB_CHROMIUM")
    if named:
        return named
    installed = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if installed:
        return installed
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache/ms-playwright"))
    return next((str(p) for p in sorted(cache.glob("chromium-*/chrome-linux*/chrome"))), None)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium; without one browser tests are skipped, and fail where CI=true."""
    path = find_chromium()
    if path is None and os.environ.get("CI") == "true":
        pytest.fail(GET_CHROMIUM, pytrace=False)
    if path is None:
        pytest.skip(GET_CHROMIUM)
    return path


@pytest.fixture(scope="session")
def samples_folder() -> Path:
    """The sample models of this checkout."""
    return ROOT / "sample_models"


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """Test material that is kept beside the checkout, where somebody has it."""
    folder = ROOT.parent / "shared"
    if not (folder / "traces").is_dir():
        pytest.skip("needs the folder of foreign traces beside the checkout")
    return folder


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ORTLAB_HOME that no other test, and no person, uses."""
    home = tmp_path / "ortlab-home"
    monkeypatch.setenv("ORTLAB_HOME", str(home))
    return home


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say at the end what was left out for want of a browser, and how to get one."""
    if find_chromium() is None:
        terminalreporter.write_line(GET_CHROMIUM, yellow=True)
