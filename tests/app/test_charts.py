"""Figures show what the records hold, and foreign names cannot be markup in them."""

from __future__ import annotations

import msgspec
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortlab.charts import (
    icicle,
    labels,
    latency,
    operators,
    placement,
    runs,
    samples,
    theme,
    timeline,
)
from ortlab.domain.placement import Partition, Placement
from ortlab.domain.study import Study
from ortlab.domain.trace import NodeRow, OperatorRow, Profile, Run, TraceEvent
from tests import records

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
HOSTILE = '<a href="http://evil.example">node</a>'


def study() -> Study:
    """Three measured rows and one that failed."""
    rows = [
        records.row(records.configuration(threads=n), p50_us=1000.0 * n, ratio=1 / n)
        for n in (1, 2, 3)
    ]
    failed = records.row(records.configuration(threads=4), p50_us=None)
    return msgspec.structs.replace(records.study(*rows, failed), baseline=rows[0].id)


def profile(node_count: int = 5, name: str = "node") -> Profile:
    """Nodes on two providers, every second one on the GPU."""
    nodes = tuple(
        NodeRow(name=f"{name}{i}", op_type=f"Op{i % 3}", provider=(CPU, CUDA)[i % 2], calls=2,
                total_us=10 * (i + 1), self_us=10 * (i + 1), p50_us=5.0 * (i + 1))
        for i in range(node_count)
    )  # fmt: skip
    rows = {}
    for n in nodes:
        rows[n.op_type, n.provider] = rows.get((n.op_type, n.provider), 0) + n.self_us
    total = sum(rows.values())
    table = tuple(
        OperatorRow(op_type=op, provider=p, calls=2, total_us=us, self_us=us, share=us / total)
        for (op, p), us in rows.items()
    )
    runs = tuple(Run(index=i, start_us=i, duration_us=total // 2, node_count=5, warmup=i == 0)
                 for i in range(2))  # fmt: skip
    return Profile(source="test", runs=runs, operators=table, nodes=nodes)


def test_bars_leave_out_rows_without_figures_and_put_the_fastest_on_top() -> None:
    figure = latency.bars(study())
    assert list(figure.data[0].x) == [3.0, 2.0, 1.0]


def test_bars_of_throughput_put_the_largest_on_top() -> None:
    bars = latency.bars(study(), metric="inf/s").data[0].x
    assert list(bars) == sorted(bars)


def test_every_bar_of_p50_has_its_interval_and_its_value_in_words() -> None:
    figure = latency.bars(study())
    assert len(figure.data[0].error_x.array) == 3
    assert sum("±" in a.text for a in figure.layout.annotations) == 3


def test_a_study_without_figures_gives_a_titled_figure_that_says_so() -> None:
    failed = records.study(records.row(records.configuration(), p50_us=None))
    figure = latency.bars(failed)
    assert figure.layout.title.text
    assert not figure.data


def test_operator_bars_add_up_to_the_self_time_per_run() -> None:
    shown = profile()
    figure = operators.bars(shown)
    drawn = sum(sum(trace.x) for trace in figure.data)
    assert drawn == pytest.approx(sum(n.self_us for n in shown.nodes) / len(shown.runs))


@pytest.mark.parametrize("node_count", [1, 7, 400])
def test_icicle_holds_all_time_at_every_depth_and_few_leaves(node_count: int) -> None:
    shown = profile(node_count)
    trace = icicle.icicle(shown, leaf_limit=50).data[0]
    total = sum(n.self_us for n in shown.nodes)
    depth = {"": -1}
    for key, parent in zip(trace.ids, trace.parents, strict=True):
        depth[key] = depth[parent] + 1
    for level in range(max(depth.values()) + 1):
        values = [v for k, v in zip(trace.ids, trace.values, strict=True) if depth[k] == level]
        assert sum(values) == total
    assert len(trace.ids) <= 50 + 6 + 6 + 2 + 1


def test_timeline_keeps_the_longest_events_below_the_limit_of_a_browser() -> None:
    events = [
        TraceEvent(name=str(i), op_type="Add", provider=CPU, thread=1, start_us=10 * i,
                   duration_us=1 + i % 7, self_us=1, depth=0)
        for i in range(timeline.BAR_LIMIT + 500)
    ]  # fmt: skip
    figure = timeline.timeline(events)
    assert sum(len(trace.x) for trace in figure.data) == timeline.BAR_LIMIT
    assert timeline.dropped(events) == 500


def test_placement_strip_covers_every_node_in_order() -> None:
    parts = (Partition(provider=CUDA, node_count=3, first="a", last="c"),
             Partition(provider=CPU, node_count=2, first="d", last="e"))  # fmt: skip
    found = Placement(requested=(CUDA,), active=(CUDA, CPU), partitions=parts,
                      node_share_by_provider={CUDA: 0.6, CPU: 0.4})  # fmt: skip
    figure = placement.order(found)
    assert [(t.base[0], t.x[0]) for t in figure.data] == [(0, 3), (3, 2)]
    assert figure.data[1].marker.pattern.shape == "/"
    assert sum(t.x[0] for t in placement.shares(found).data) == pytest.approx(1)


def test_distribution_counts_every_sample_inside_its_axis() -> None:
    values = [float(v) for v in range(1, 201)]
    outline = samples.distribution({"a": values}).data[0]
    assert sum(outline.y) >= samples.CLIP_SHARE - 0.01


def test_warm_up_runs_are_told_apart_by_more_than_colour() -> None:
    names = {t.name: t.marker.symbol for t in runs.runs(profile()).data}
    assert names == {"warm-up": "diamond-open", "steady": "circle"}


@pytest.mark.parametrize(
    "figure",
    [
        operators.bars(Profile(source="x")),
        icicle.icicle(Profile(source="x")),
        timeline.timeline([]),
        placement.shares(Placement(requested=(), active=())),
        placement.order(Placement(requested=(), active=())),
        samples.distribution({}),
        samples.over_time({}),
        runs.runs(Profile(source="x")),
    ],
)
def test_nothing_to_draw_gives_an_empty_figure_with_a_title(figure: go.Figure) -> None:
    assert not figure.data
    assert figure.layout.title.text


def test_a_name_that_is_markup_is_drawn_as_text() -> None:
    texts = icicle.icicle(profile(name=HOSTILE)).to_json()
    assert "<a href" not in texts
    assert "\\u003ca href" not in texts


@given(st.text(max_size=100))
def test_plain_text_holds_no_markup_and_keeps_its_limit(text: str) -> None:
    found = theme.plain(text, limit=30)
    assert "<" not in found
    assert ">" not in found


def test_every_provider_of_the_catalog_has_a_colour_and_unknown_ones_are_grey() -> None:
    assert theme.color(CPU) != theme.OTHER_COLOR
    assert theme.color("SomethingExecutionProvider") == theme.OTHER_COLOR


def test_short_labels_are_distinct_and_drop_what_is_common() -> None:
    rows = [records.row(records.configuration(threads=n)) for n in (1, 2)]
    rows = [msgspec.structs.replace(r, label=f"CPU · all · {i} threads")
            for i, r in enumerate(rows)]  # fmt: skip
    found = labels.short_labels(rows)
    assert set(found.values()) == {"0 threads", "1 threads"}
    assert labels.shared_part(rows) == "CPU · all"


def test_the_toolbar_offers_no_upload_of_the_chart() -> None:
    assert theme.CONFIG["showSendToCloud"] is False
