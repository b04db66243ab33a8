"""Runs and trust on the Profile page: what stands out is marked, told, and small to send."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ortlab.analysis.reading import slow_run
from ortlab.charts import runs as charts
from ortlab.domain.trace import Correction, Profile, Run, TraceEvent, Trust, TrustReason
from ortlab.lab import Lab
from ortlab.ui import runs_view, trust_panel
from tests.app.conftest import HOSTILE, page, texts
from tests.trace_text import node, recorded, session, text


def made(durations: list[int], **marks: set[int]) -> Profile:
    """A profile whose runs have these durations and marks."""
    return Profile(source="x", runs=tuple(
        Run(index=i, start_us=i, duration_us=us, node_count=1,
            warmup=i in marks.get("warmup", set()), outlier=i in marks.get("outlier", set()),
            partial=i in marks.get("partial", set()), changed=i in marks.get("changed", set()))
        for i, us in enumerate(durations)
    ))  # fmt: skip


def test_each_kind_of_run_has_its_own_mark_and_word() -> None:
    profile = made([50, 10, 11, 30, 10, 9], warmup={0}, outlier={3}, partial={5}, changed={4})
    figure = charts.runs(profile, selected=3)
    symbols = {trace.name: trace.marker.symbol for trace in figure.data}
    assert symbols.keys() == {"warm-up", "steady", "outlier", "misses nodes", "selected"}
    assert len(set(symbols.values())) == 5
    assert [a.text for a in figure.layout.annotations] == ["changed"]


def test_every_run_can_be_clicked_and_tells_its_number() -> None:
    figure = charts.runs(made([50, 10, 11, 30], warmup={0}, outlier={3}))
    clickable = [i for trace in figure.data for i in trace.customdata]
    assert sorted(clickable) == [0, 1, 2, 3]


@pytest.mark.parametrize("count", [1_500, 25_000, 300_000])
def test_any_number_of_runs_is_at_most_100_kilobytes(count: int) -> None:
    durations = [1000 + (i * 7919) % 100 for i in range(count)]
    profile = made(durations, warmup=set(range(300)), outlier=set(range(400, 1400)),
                   changed=set(range(0, count, 50)))  # fmt: skip
    assert len(charts.runs(profile).to_json()) <= 100_000


def test_a_band_of_many_runs_holds_their_extremes() -> None:
    durations = [1000 + (i * 7919) % 100 for i in range(20_000)]
    figure = charts.runs(made(durations))
    high, low = figure.data[0].y, figure.data[1].y
    assert (max(high), min(low)) == (max(durations) / 1000, min(durations) / 1000)


def test_a_long_first_run_does_not_press_the_others_into_a_line() -> None:
    assert charts.runs(made([66_000, 87, 85, 88])).layout.yaxis.type == "log"
    assert charts.runs(made([160, 87, 85, 88])).layout.yaxis.type is None


def test_the_sentence_on_a_slow_run_names_the_node_and_escapes_it() -> None:
    profile = made([10, 10, 90])
    slow, usual = profile.runs[2], profile.runs[0]
    found = slow_run.beside(slow, usual, events=[event(HOSTILE, 70)],
                            usual_events=[event(HOSTILE, 6)])  # fmt: skip
    told = runs_view.beside_text(found)
    assert "80.0" in told
    assert "longer than run 0" in told
    assert "80.0\u2009% of the difference is inside nodes" in told
    assert HOSTILE not in told
    assert "evil" in told


def event(name: str, us: int) -> TraceEvent:
    return TraceEvent(name=name, op_type="Op", provider="P", thread=0, start_us=0, duration_us=us,
                      self_us=us, depth=0)  # fmt: skip


def test_the_page_marks_the_outlier_and_sets_it_beside_the_median_run(tmp_path: Path) -> None:
    trace = opened(recorded("cpu_mlp_24runs"), tmp_path)
    plain = texts(page("profile", trace=trace, view="runs"))
    assert "2 warm-up runs" in plain
    assert "1 outlier" in plain
    chosen = texts(page("profile", trace=trace, view="runs", at="21"))
    assert "Run 21 beside the median run" in chosen
    assert "20.0\u2009µs longer than run" in chosen


def opened(content: bytes, folder: Path) -> str:
    """The trace's id in the laboratory of this test."""
    (folder / "trace.json").write_bytes(content)
    return Lab.open().open_trace(folder / "trace.json")


def test_the_page_tells_what_a_doubt_costs_and_what_to_do(tmp_path: Path) -> None:
    events = [node("a", 1, 5, provider="CUDAExecutionProvider"), session("model_run", 0, 9)]
    trace = opened(text(events).encode(), tmp_path)
    app = page("profile", trace=trace)
    said = texts(app)
    assert "its times do not rank them" in said
    assert "They do not rank operators" in said
    assert "CUDA_LAUNCH_BLOCKING=1" in said


def test_more_than_two_reasons_are_folded_and_none_is_lost(tmp_path: Path) -> None:
    trace = opened(recorded("webgpu_shapes"), tmp_path)
    app = page("profile", trace=trace)
    reasons = Lab.open().trace(trace, steady=True).record.trust.reasons
    assert len(reasons) > trust_panel.SHOWN
    said = texts(app)
    for reason in reasons:
        assert reason.message.replace("\u2009", " ") in said.replace("\u2009", " ")
    assert any("more reason" in block.label for block in app.expander)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (Correction(basis="estimated", per_event_us=5, low_us=3.5, high_us=7.5),
         "nothing is subtracted"),
        (Correction(basis="measured", per_event_us=4, low_us=4, high_us=4),
         "Nothing proves"),
        (Correction(basis="measured", per_event_us=4, low_us=4, high_us=4, inside_us=1,
                    removed_us=900), "leave out 900"),
        (Correction(basis="measured", per_event_us=4, low_us=4, high_us=4, inside_us=1,
                    removed_us=900, withheld_us=50), "no node takes less than nothing"),
    ],
)  # fmt: skip
def test_the_profilers_cost_is_told_with_how_it_is_known(found: Correction, says: str) -> None:
    assert says in trust_panel.correction_text(found)


def test_what_the_device_ran_is_a_table_under_the_operators(tmp_path: Path) -> None:
    cuda = "CUDAExecutionProvider"
    events = [
        node("a", 1, 5, op="Conv", provider=cuda), kernel("gemm", 75), kernel("gemm", 15),
        node("b", 8, 2, op="Relu", provider=cuda), kernel("relu", 10), session("model_run", 0, 99),
    ]  # fmt: skip
    app = page("profile", trace=opened(text(events).encode(), tmp_path), view="operators")
    table = next(t.value for t in app.dataframe if "node" in t.value and "share" in t.value)
    found = table.set_index("name")
    assert found.loc["gemm", "share"] == 90
    assert found.loc["gemm", "node"] == "a"
    assert found.loc["relu", "calls"] == 1


def kernel(name: str, us: int) -> dict[str, object]:
    return {"cat": "Kernel", "pid": -1, "tid": -1, "ts": 5, "dur": us, "ph": "X", "name": name,
            "args": {"stream": "7"}}  # fmt: skip


def test_names_in_reasons_are_no_markup() -> None:
    reason = TrustReason(code="x", message=f"{HOSTILE}.", cost=f"{HOSTILE}.", grade="C")
    profile = msgspec.structs.replace(made([1]), trust=Trust("C", (reason,)))
    assert HOSTILE not in trust_panel.reason_text(profile.trust.reasons[0], lowest="C")
