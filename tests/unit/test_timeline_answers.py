"""What the browser is told of a timeline, and how it looks."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from ortlab.analysis.reading.derived import derive
from ortlab.analysis.timelines import lanes, timeline
from ortlab.charts import theme
from ortlab.charts import timeline as charts
from ortlab.errors import OrtlabError
from ortlab.ui import timeline_data
from tests.timelines import stored
from tests.trace_text import decoded, recorded

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The id `known` names a recorded trace."""
    _, events = decoded(recorded("cpu_control_flow"))
    lanes.write(derive(events), events.parent)
    found = {("known", None): events.parent / "timeline.bin"}
    monkeypatch.setattr(timeline_data, "path", lambda *ids: found[ids])


@pytest.mark.usefixtures("known")
def test_an_answer_says_what_it_is_a_window_of() -> None:
    found = json.loads(timeline_data.answer({"source": "known", "from": "0", "to": "5000"}))
    assert (found["start_us"], found["end_us"], found["clock"]) == (0, 5000, "host")
    events = sum(len(row["duration_us"]) for row in found["rows"])
    assert found["event_count"] == events == 34


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    "wrong",
    [
        {"source": "../../etc"}, {"source": ""}, {"from": "x"}, {"to": "9" * 40}, {"to": "0"},
        {"width": "wide"}, {"node": "1e3"}, {"clock": "<script>"}, {"cfg": "a b"},
    ],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_refused_with_a_sentence(wrong: dict[str, str]) -> None:
    asked = {"source": "known", "from": "0", "to": "5000"} | wrong
    with pytest.raises(OrtlabError) as refused:
        timeline_data.answer(asked)
    assert refused.value.kind == "bad_window"
    assert refused.value.hint


@pytest.mark.usefixtures("known")
def test_a_question_without_its_window_is_refused() -> None:
    with pytest.raises(OrtlabError, match="'from'"):
        timeline_data.answer({"source": "known", "to": "5"})


def test_operators_of_one_provider_are_shades_of_its_colour() -> None:
    looks = charts.looks([("Conv", CPU), ("Add", CPU), ("Relu", CPU)])
    assert looks[0].color == theme.color(CPU)
    assert len({look.color for look in looks}) == 3
    assert not any(look.fallback for look in looks)
    assert [look.label for look in looks] == ["Conv", "Add", "Relu"]


def test_work_of_the_cpu_beside_another_provider_is_marked_as_fallback() -> None:
    looks = charts.looks([("Conv", CUDA), ("Shape", CPU), ("?", "?")])
    assert [look.fallback for look in looks] == [False, True, False]
    assert looks[1].label == "Shape · CPU, fallback"
    assert looks[2].label == "unknown operator"


def test_a_foreign_trace_calls_no_event_a_fallback() -> None:
    looks = charts.looks([("Conv", CUDA), ("Shape", CPU)], foreign=True)
    assert [look.label for look in looks] == ["Conv · CUDA", "Shape · CPU"]
    assert not any(look.fallback for look in looks)


@pytest.mark.parametrize("provider", [CPU, CUDA, "WebGpuExecutionProvider"])
def test_every_label_can_be_read_on_its_colour(provider: str) -> None:
    def light(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for look in charts.looks([(str(i), provider) for i in range(8)]):
        low, high = sorted((light(look.color), light(look.text)))
        assert (high + 0.05) / (low + 0.05) >= 3


def test_the_component_writes_foreign_names_as_text_only() -> None:
    folder = Path(timeline_data.__file__).parent
    scripts = [path.read_text() for path in sorted(folder.glob("timeline_*.js"))]
    assert len(scripts) == 3
    ways = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
    assert [way for way, script in itertools.product(ways, scripts) if way in script] == []


def test_a_figure_that_leaves_events_out_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "BAR_LIMIT", 10)
    events = timeline.run_events(stored(recorded("cpu_control_flow")), run=1)
    said = charts.timeline(events).layout.xaxis.title.text
    assert f"the {len(events) - 10} shortest events are left out" in said
