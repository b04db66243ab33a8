"""The `ortlab` command as a real process, with one home for all tests of this folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest
from msgspec import Struct

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240


class Done(Struct, frozen=True):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout, checked against the schema of its name."""
        value = json.loads(self.out)
        name = value["schema"].removeprefix("ortlab.").removesuffix("/1")
        schema = json.loads((ROOT / "docs" / "schema" / f"{name}.json").read_text())
        jsonschema.validate(value, schema)
        assert value["ortlab_version"]
        return value

    @property
    def sentence(self) -> str:
        """What stderr says before the hint; progress lines aside."""
        lines = [line for line in self.err.splitlines() if not line.startswith("Measuring ")]
        return "\n".join(line for line in lines if not line.startswith("hint: "))


class Command:
    """Runs `python -m ortlab`; environment variables by keyword, in small letters."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *arguments: object, **environment: object) -> Done:
        extra = {f"ORTLAB_{k.upper()}": str(v) for k, v in environment.items()}
        done = subprocess.run(
            [sys.executable, "-m", "ortlab", *map(str, arguments)],
            capture_output=True, text=True, timeout=PATIENCE_S, cwd=ROOT, check=False,
            env={**os.environ, "ORTLAB_HOME": str(self.home), **extra},
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """The command as a process that still runs."""
        return subprocess.Popen(
            [sys.executable, "-m", "ortlab", *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "ORTLAB_HOME": str(self.home)},
        )  # fmt: skip


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One home, so that the machine is asked only once; its runner is ended at the end."""
    home = tmp_path_factory.mktemp("cli-home")
    yield home
    end_runners(home)


@pytest.fixture
def ortlab(shared_home: Path) -> Command:
    """The command with the shared home."""
    return Command(shared_home)


@pytest.fixture
def fresh_ortlab(own_home: Path) -> Iterator[Command]:
    """The command with a home that this test alone uses."""
    yield Command(own_home)
    end_runners(own_home)


def end_runners(home: Path) -> None:
    """End the runner of this home, and wait for it."""
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if str(home) in line and "ortlab.jobs.runner" in line:
            process.kill()
            process.wait()
