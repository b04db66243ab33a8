"""The fuzz program itself: it holds on sound traces, on mutants, and would see a wrong reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from ortlab.worker.tracing.columns import Columns
from ortlab.worker.tracing.reader import Reader
from tests import trace_fuzz

SEED = 20_261_120


def test_the_reader_keeps_its_word_on_three_hundred_mutants() -> None:
    outcomes = trace_fuzz.run(300, seed=SEED)
    # Some are cut off before their first event; most must be read.
    assert outcomes["read"] > 200


def test_undamaged_traces_pass_the_same_check(tmp_path: Path) -> None:
    for name, text in trace_fuzz.bases().items():
        by_line = name.endswith(("lines", "crlf"))
        assert trace_fuzz.check(text, by_line=by_line, path=tmp_path / "t.json") == "read"


def test_a_mutant_is_made_again_by_its_number() -> None:
    texts = trace_fuzz.bases()
    names = sorted(texts)
    first, second = (trace_fuzz.made(texts, names, seed=1, number=7) for _ in range(2))
    assert first == second


def test_a_reader_that_invents_time_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    take = Columns.take

    def longer(self: Columns, events: list) -> object:
        for event in events:
            event.dur += 1_000
        return take(self, events)

    monkeypatch.setattr(Columns, "take", longer)
    with pytest.raises(AssertionError, match="invented"):
        trace_fuzz.run(50, seed=SEED)


def test_a_reader_that_gives_a_damaged_block_up_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reader, "_keep", lambda self, found: None)
    with pytest.raises(AssertionError, match="mutant"):
        trace_fuzz.run(50, seed=SEED)
