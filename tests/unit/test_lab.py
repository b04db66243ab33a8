"""The one door is light: what a page needs first loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ortlab.errors import RequestError
from ortlab.jobs import asking
from ortlab.lab import Lab

ROOT = Path(__file__).parents[2]
HEAVY = ("pandas", "plotly", "streamlit", "onnxruntime", "onnx", "pyarrow", "alembic")


def test_reading_the_history_loads_nothing_heavy(own_home: Path) -> None:
    Lab.open(own_home).history()
    code = (
        "import sys; from ortlab import Lab; lab = Lab.open(); lab.history(); lab.samples()\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_opening_a_laboratory_writes_nothing(own_home: Path) -> None:
    assert Lab.open().home == own_home
    assert not own_home.exists()


def test_a_single_value_stands_for_a_list_of_one() -> None:
    question = asking.ask(providers="cpu", threads=2, levels=["all", "basic"])
    assert (question.providers, question.threads) == (("cpu",), (2,))
    assert question.levels == ("all", "basic")


@pytest.mark.parametrize(("field", "value"), [("threads", "many"), ("dims", {"N": "x"})])
def test_a_value_that_cannot_be_meant_is_refused(field: str, value: object) -> None:
    with pytest.raises(RequestError, match="does not hold together"):
        asking.ask(**{field: value})


def test_an_empty_title_is_refused() -> None:
    with pytest.raises(RequestError, match="must not be empty"):
        Lab.open().rename("any", "  ")
