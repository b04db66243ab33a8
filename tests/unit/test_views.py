"""Answers in a terminal and a notebook."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from ortlab.domain.study import Progress
from ortlab.views import ProfileView, ProgressLine, StudyView
from tests import records


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_that_ends_with_the_study() -> None:
    stream = Terminal()
    line = ProgressLine(stream)
    line(Progress(study_id="s", status="running", message="measuring", done_share=0.5))
    line(Progress(study_id="s", status="done", done_share=1.0))
    assert stream.getvalue().count("\n") == 1
    assert "measuring" in stream.getvalue()


def test_progress_stays_out_of_files() -> None:
    stream = io.StringIO()
    ProgressLine(stream)(Progress(study_id="s", status="running"))
    assert stream.getvalue() == ""


def test_a_failed_row_has_its_reason_in_table_and_notebook() -> None:
    failed = records.row(records.configuration(level="basic"), p50_us=None)
    view = StudyView(records.study(records.row(), failed), samples=lambda _: [])
    table = view.table()
    assert table["error"].iloc[1] == failed.error.message
    assert table["p50_us"].isna().tolist() == [False, True]
    assert failed.error.message in view._repr_html_()


def test_a_study_without_rows_has_an_empty_table_and_no_winner() -> None:
    import msgspec

    record = msgspec.structs.replace(records.study(), configurations=(), best=None)
    view = StudyView(record, samples=lambda _: [])
    assert view.best is None
    assert len(view.table()) == 0
    assert view.plot() is not None


def test_names_of_operators_are_shown_as_text() -> None:
    profile = records.profile({"<b>Mat</b>": (1, 10)})
    shown = ProfileView(
        profile, events=lambda _: [], stored=Path, summary=lambda: pytest.fail("not asked for")
    )._repr_html_()
    assert "<b>Mat</b>" not in shown
    assert "&lt;b&gt;" in shown
