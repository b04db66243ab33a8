"""The roofline view: the offer to measure, and what stands there afterwards."""

from __future__ import annotations

import re

import pytest

from ortlab.domain.roofline import ComputeRoof, MemoryRoof, Peaks
from ortlab.errors import MeasurementError
from ortlab.lab import Lab
from tests.app.conftest import Filled, page, texts

BUTTON = "Measure this machine's peaks"
PEAKS = Peaks(
    machine_id="m", onnxruntime_version="1.31.1", threads=1, seconds=8.0,
    measured_at="2026-11-20T12:00:00+00:00",
    compute=(ComputeRoof(kind="fp32", flop_per_s=2e11, spread_share=0.1, side=1024),),
    memory=(MemoryRoof(level="L2", bytes_per_s=2e11, spread_share=0.0, capacity_bytes=1 << 20),
            MemoryRoof(level="memory", bytes_per_s=2e10, spread_share=0.0)),
    dispatch_us=0.2, profiled_node_us=1.0,
)  # fmt: skip


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A home in which the roofs were measured."""
    monkeypatch.setattr(Lab, "known_peaks", lambda self, threads=None: PEAKS)


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A home in which they were not."""
    monkeypatch.setattr(Lab, "known_peaks", lambda self, threads=None: None)


@pytest.mark.usefixtures("unknown")
def test_before_the_roofs_are_measured_there_is_a_button_that_says_how_long_it_takes(
    filled_home: Filled,
) -> None:
    app = page("profile", run=filled_home.done, view="roofline")
    (button,) = [b for b in app.button if BUTTON in b.label]
    assert "about" in button.label
    assert not app.get("plotly_chart")


def test_the_button_measures_and_the_nodes_are_shown_afterwards(
    filled_home: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Peaks] = []

    def measure(self: Lab, threads: int | None = None, **asked: object) -> Peaks:
        asked["on_progress"](0.5, "fp32 products")  # type: ignore[operator]
        kept.append(PEAKS)
        return PEAKS

    monkeypatch.setattr(Lab, "known_peaks", lambda self, threads=None: kept[-1] if kept else None)
    monkeypatch.setattr(Lab, "peaks", measure)
    app = page("profile", run=filled_home.done, view="roofline")
    next(b for b in app.button if BUTTON in b.label).click().run()
    assert not app.exception
    assert len(kept) == 1
    assert "Worth optimizing" in texts(app)
    assert app.get("plotly_chart")
    assert app.dataframe


@pytest.mark.usefixtures("unknown")
def test_a_measurement_that_cannot_start_is_told_and_the_button_stays(
    filled_home: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Lab, threads: int | None = None, **_: object) -> Peaks:
        raise MeasurementError("Something is being measured now.", hint="Wait.")

    monkeypatch.setattr(Lab, "peaks", refuse)
    app = page("profile", run=filled_home.done, view="roofline")
    next(b for b in app.button if BUTTON in b.label).click().run()
    assert "being measured now" in app.error[0].value
    assert any(BUTTON in b.label for b in app.button)


@pytest.mark.usefixtures("known")
def test_the_table_has_every_node_and_its_bound(filled_home: Filled) -> None:
    app = page("profile", run=filled_home.done, view="roofline")
    record = Lab.open(filled_home.home).study(filled_home.done).record
    profile = Lab.open(filled_home.home).profile_of(record.id, record.best, steady=True).record
    table = next(d.value for d in app.dataframe if "bound" in d.value.columns)
    assert len(table) == len(profile.nodes)
    known = {"compute-bound", "memory-bound", "dispatch-bound", "not classified"}
    assert set(table["bound"]) <= known


@pytest.mark.usefixtures("known")
def test_roofs_of_this_machine_and_a_foreign_trace_are_told_apart(filled_home: Filled) -> None:
    foreign = texts(page("profile", trace=filled_home.trace, view="roofline"))
    own = texts(page("profile", run=filled_home.done, view="roofline"))
    assert "the trace may come from another one" in foreign
    assert "does not tell how many threads" in foreign
    assert "may come from another" not in own


@pytest.mark.usefixtures("known")
def test_names_that_try_to_be_markup_stay_text(filled_home: Filled) -> None:
    app = page("profile", run=filled_home.done, view="roofline")
    said = [str(m.value) for m in app.markdown]
    assert any("img src" in text for text in said)
    assert not [text for text in said if re.search(r"(?<!\\)(<img|!\[|\]\()", text)]


@pytest.mark.usefixtures("known")
def test_a_node_selected_elsewhere_is_selected_here_too(filled_home: Filled) -> None:
    app = page("profile", run=filled_home.done, view="roofline")
    assert not any(b.label == "Clear" for b in app.button)
    app = page("profile", run=filled_home.done, view="roofline", node="0")
    assert any(b.label == "Clear" for b in app.button)
