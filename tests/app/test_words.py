"""Sentences are built from verdicts and intervals, and foreign names stay text."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortlab.domain.study import Comparison, Study
from ortlab.ui import words
from tests import records


def study(verdict: str, ratio: float) -> Study:
    """A baseline and one candidate with this verdict."""
    base = records.row(records.configuration(threads=1), p50_us=1000.0)
    other = records.row(records.configuration(threads=2), p50_us=1000.0 / ratio)
    found = Comparison(ratio=ratio, ci95=(ratio * 0.9, ratio * 1.1), verdict=verdict)
    other = msgspec.structs.replace(other, vs_baseline=found)
    made = records.study(base, other)
    best = other.id if ratio > 1 else base.id
    return msgspec.structs.replace(made, baseline=base.id, best=best)


@pytest.mark.parametrize(
    ("verdict", "ratio", "said"),
    [
        ("faster", 1.8, "fastest"),
        ("same", 1.001, "equally fast"),
        ("cannot tell", 1.05, "No clear winner"),
        ("slower", 0.5, "every other setting is slower"),
    ],
)
def test_verdict_sentence_says_what_the_verdict_says(verdict: str, ratio: float, said: str) -> None:
    assert said in words.verdict(study(verdict, ratio))


def test_only_a_faster_verdict_claims_a_speed_up() -> None:
    assert "1.05×** as fast" not in words.verdict(study("cannot tell", 1.05))


def test_study_without_figures_is_not_called_a_winner() -> None:
    failed = records.row(records.configuration(), p50_us=None)
    made = msgspec.structs.replace(records.study(failed), best=None)
    assert "could be measured" in words.verdict(made)


@given(st.text(max_size=200))
def test_safe_text_has_no_unescaped_mark_that_markdown_reads(text: str) -> None:
    found = words.safe(text)
    for index, character in enumerate(found):
        if character in "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~":
            assert found[index - 1] == "\\"


@given(st.text(max_size=200))
def test_safe_text_has_one_line_and_no_invisible_marks(text: str) -> None:
    found = words.safe(text)
    assert "\n" not in found
    assert not set(found) & set("\u202e\u200b\ufeff\x00")


def test_code_between_backticks_is_shown_as_code_and_the_rest_is_safe() -> None:
    assert words.safe_with_code("set `a_b` in *x*") == "set `a_b` in \\*x\\*"


@pytest.mark.parametrize(
    ("seconds", "said"), [(5, "5"), (600, "10"), (7200, "2"), (3 * 86_400, "3 days ago")]
)
def test_age_is_told_in_the_unit_that_suits_it(seconds: int, said: str) -> None:
    from datetime import UTC, datetime, timedelta

    now = datetime(2026, 11, 20, tzinfo=UTC)
    then = (now - timedelta(seconds=seconds)).isoformat()
    assert words.ago(then, now=now).startswith(said)


def test_a_winner_that_cannot_be_told_from_another_is_not_called_the_only_one() -> None:
    base = records.row(records.configuration(threads=1), p50_us=1000.0)
    near = [
        msgspec.structs.replace(
            records.row(records.configuration(threads=n), p50_us=500.0 + n),
            vs_baseline=Comparison(ratio=2.0, ci95=(1.95, 2.05), verdict="faster"),
        )
        for n in (2, 3)
    ]
    made = msgspec.structs.replace(records.study(base, *near), baseline=base.id, best=near[0].id)
    assert "is not clearly slower" in words.verdict(made)
    alone = msgspec.structs.replace(records.study(base, near[0]), baseline=base.id,
                                    best=near[0].id)  # fmt: skip
    assert "not clearly slower" not in words.verdict(alone)
