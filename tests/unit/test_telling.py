"""Progress only ever goes forward, and names rows as people do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ortlab.domain.study import ConfigurationResult, Progress, StudySpec
from ortlab.measure import rows
from ortlab.measure.samples import AA_TWIN
from ortlab.measure.telling import Telling
from tests import records

ONE, TWO = records.configuration(threads=1), records.configuration(threads=2)
SPEC = StudySpec(model_id="m", model_name="m", configurations=(ONE, TWO))


class Kept:
    """A sink and a clock."""

    def __init__(self) -> None:
        self.told: list[Progress] = []
        self.now_s = 0.0

    def progress(self, progress: Progress) -> None:
        self.told.append(progress)

    def row(self, result: ConfigurationResult) -> None: ...

    def telling(self) -> Telling:
        return Telling(SPEC, study_id="s", sink=self, clock=lambda: self.now_s)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.floats(0, 100), st.none() | st.floats(0, 1000)), max_size=40))
def test_the_part_done_never_goes_back_whatever_is_expected(steps) -> None:
    kept = Kept()
    telling = kept.telling()
    for passed_s, expected_s in steps:
        kept.now_s += passed_s
        if expected_s is not None:
            telling.expect(expected_s)
        telling.tell("measuring", force=True)
    shares = [p.done_share for p in kept.told]
    assert shares == sorted(shares)
    assert all(0 <= s <= 0.99 for s in shares)
    assert all((p.seconds_left or 0) > 0 for p in kept.told)


def test_a_study_as_long_as_expected_is_done_in_equal_steps() -> None:
    kept = Kept()
    telling = kept.telling()
    telling.expect(100.0)
    for _ in range(9):
        kept.now_s += 10
        telling.tell("measuring", force=True)
    assert [round(p.done_share, 6) for p in kept.told] == [i / 10 for i in range(1, 10)]
    assert kept.told[-1].seconds_left == 10


def test_labels_stand_in_place_of_ids() -> None:
    kept = Kept()
    telling = kept.telling()
    telling.preparing(f"trying {TWO.id}")
    telling.tell(f"opening {AA_TWIN}", force=True)
    assert rows.label_of(TWO, SPEC.configurations) in kept.told[0].message
    assert TWO.id not in kept.told[0].message
    assert kept.told[1].message == "opening the baseline's twin (A/A control)"
    assert {i: s for i, s, _ in kept.told[0].rows} == {ONE.id: "waiting", TWO.id: "opening"}


def test_an_id_that_starts_like_the_twin_is_not_taken_for_it() -> None:
    kept = Kept()
    kept.telling().tell("opening aab2c3", force=True)
    assert kept.told[0].message == "opening aab2c3"


def test_a_failed_row_stays_failed_while_others_are_measured() -> None:
    kept = Kept()
    telling = kept.telling()
    telling.states[ONE.id] = "failed"
    kept.now_s = 1.0
    telling.measuring("measuring, 1 of 6 sets done", {ONE.id, TWO.id, AA_TWIN})
    assert {i: s for i, s, _ in kept.told[0].rows} == {ONE.id: "failed", TWO.id: "measuring"}
    assert kept.told[0].phase == "measuring"
