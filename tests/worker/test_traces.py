"""Reading traces of every shape: what is whole is used, what is broken is counted."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ortlab.domain.trace import Signature
from ortlab.errors import TraceError
from ortlab.sandbox.spawn import run_task
from ortlab.worker import traces
from ortlab.worker.tracing import reader
from ortlab.worker.tracing import source as trace_source
from tests.trace_text import DATA, decoded, node, profile, recorded, session, text

SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
MLP = recorded("cpu_mlp_24runs")


def refusal(content: str | bytes, *, name: str = "trace.json") -> TraceError:
    with pytest.raises(TraceError) as caught:
        decoded(content, name=name)
    return caught.value


def rows_of(events: Path) -> list[dict[str, Any]]:
    """The stored events, each with the fields of its signature."""
    table = pq.read_table(events)
    packed = zlib.decompress(pq.read_metadata(events).metadata[b"ortlab.signatures"])
    fields = [field.name for field in msgspec.structs.fields(Signature)]
    signatures = [dict(zip(fields, one, strict=False)) for one in msgspec.msgpack.decode(packed)]
    return [{**row, **signatures[row["sig"]]} for row in table.to_pylist()]


def test_worker_process_reads_a_recorded_trace(tmp_path: Path) -> None:
    out = tmp_path / "events.parquet"
    request = {"path": str(DATA / "cpu_mlp_24runs.json"), "out": str(out)}
    reply = run_task("trace", request, folder=tmp_path / "private", timeout_s=60)
    assert (reply["events"], reply["damaged_count"]) == (2 + 24 * 6, 0)
    assert pq.read_metadata(out).num_rows == reply["events"]


def test_every_layout_of_the_same_events_reads_the_same() -> None:
    events = json.loads(MLP)
    expected = profile(MLP)
    crlf = MLP.replace(b"\n", b"\r\n")
    for content in (
        crlf,
        b"\xef\xbb\xbf" + crlf,
        gzip.compress(MLP),
        json.dumps(events).encode(),
        json.dumps(events, indent=2).encode(),
        json.dumps({"displayTimeUnit": "ms", "traceEvents": events}).encode(),
        b'{"traceEvents": ' + MLP.strip() + b', "otherData": {"a": [1]}}',
        "\n".join(json.dumps(event) for event in events).encode() + b"\n]",
    ):
        found = profile(content)
        assert found == expected
        assert not found.truncated


LAYOUTS = {
    # Content, and what ends an event in it.
    "lines": (MLP, b"},\n"),
    "indented": (json.dumps(json.loads(MLP), indent=1).encode(), b"\n }"),
    "one line": (json.dumps(json.loads(MLP), separators=(",", ":")).encode(), b'},{"cat"'),
}


@settings(max_examples=80, deadline=None, suppress_health_check=SLOW)
@given(part=st.floats(0, 1), layout=st.sampled_from(sorted(LAYOUTS)))
def test_cut_anywhere_a_trace_gives_every_whole_event_before_the_cut(
    part: float, layout: str
) -> None:
    content, end = LAYOUTS[layout]
    cut = content[: round(part * len(content))]
    whole = cut.count(end)
    try:
        facts, _ = decoded(cut)
    except TraceError:
        assert whole == 0
        return
    # The last event may be whole without what comes after it.
    assert facts.events - whole in (0, 1)
    assert facts.damaged_count <= 1
    assert facts.truncated == (cut.strip() != content.strip())


def test_cut_behind_a_bracket_inside_an_event_is_still_cut() -> None:
    for end in (b"]}]", b"256]"):
        facts, _ = decoded(MLP[: MLP.rindex(end) + len(end)])
        assert facts.truncated


PACKED = gzip.compress(MLP, mtime=0)


@settings(max_examples=30, deadline=None, suppress_health_check=SLOW)
@given(st.integers(0, len(PACKED) - 1))
def test_packed_trace_cut_anywhere_is_read_as_far_as_it_unpacks(at: int) -> None:
    whole = zlib.decompressobj(wbits=31).decompress(PACKED[:at]).count(b"},\n")
    try:
        facts, _ = decoded(PACKED[:at])
    except TraceError:
        assert whole == 0
        return
    # What the last bytes hold comes out only with those that follow.
    assert whole - facts.events in (-1, 0)
    assert facts.truncated


def test_empty_file_says_that_ort_writes_only_at_the_end() -> None:
    error = refusal(b"")
    assert error.kind == "empty_trace"
    assert "0 bytes" in error.message
    assert "killed" in (error.hint or "")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[]", "no events"),
        (b"[\n]\n", "no events"),
        (b" \n ", "empty"),
        (b"<html><body>not found</body></html>", "<html>"),
        (b'{"error": "not found"}', "no list of events"),
        (b"12", "begins with '12'"),
        (b'"text"', "begins with"),
        (b"\x08\x07\x12\x00\x00binary", "binary"),
        ("[{}]".encode("utf-16"), "UTF-16"),
        (b"\x1f\x8b\x08garbage", ""),
        (b"[" * 200_000, ""),
        (b'{"a":' * 100_000, ""),
        (b'[{"name": "' + b"x" * 6_000_000, ""),
    ],
)
def test_what_is_no_trace_is_refused_with_a_sentence(content: bytes, says: str) -> None:
    error = refusal(content)
    assert says in error.message
    assert error.exit_code == 5
    assert error.hint


def test_chrome_trace_of_another_engine_is_named_as_such() -> None:
    events = [
        {"name": "process_name", "cat": "__metadata", "ph": "M", "ts": 0, "pid": 1, "tid": 0,
         "args": {"name": "some-other-engine"}},
        {"name": "gemm", "cat": "gpu", "ph": "X", "ts": 1, "dur": 5, "pid": 1, "tid": 0},
    ]  # fmt: skip
    error = refusal(json.dumps(events))
    assert error.kind == "not_ort_trace"
    assert "some-other-engine" in error.message
    assert "'gpu'" in error.message


@pytest.mark.parametrize("separator", [b",", b",\n", b"\n"])
def test_a_flood_of_empty_objects_is_given_up_early(separator: bytes) -> None:
    # The whole would be 60 MB; reading must stop after PATIENCE_EVENTS of them.
    error = refusal(b"[" + (b"{}" + separator) * (60_000_000 // (2 + len(separator))))
    assert error.kind == "not_ort_trace"
    assert f"{reader.PATIENCE_EVENTS + 1:,}" in error.message


@pytest.mark.parametrize(
    "bad",
    [
        '{"cat":"Node","name":"a_kernel_time","ph":"X","ts":NaN,"dur":1}',
        '{"cat":"Node","name":"a_kernel_time","ph":"X","ts":1,"dur":1e400}',
        '{"cat":"Node","name":"a_kernel_time","ph":"X","ts":1,"dur":-5}',
        '{"cat":"Node","name":"a_kernel_time","ph":"X","ts":1,"dur":99999999999999999999}',
        '{"cat":"Node","name":"a_kernel_time","ph":"X","ts":"soon","dur":1}',
        '{"cat":"Node","name":"a_kernel_time","ph":"X","dur":1}',
        '{"cat":["Node"],"name":"a_kernel_time","ph":"X","ts":1,"dur":1}',
        '{"cat":"Node","name":7,"ph":"X","ts":1,"dur":1}',
        '{"cat":"Node","name":"a_kernel',
        "{}",
        "{" + '"a":{' * 5000,
        '{"cat":"Node","name":"' + "n" * 5_000_000,
    ],
)
def test_hostile_event_costs_only_itself(bad: str) -> None:
    good = [session("model_run", 0, 30), node("first", 1, 4), node("last", 6, 8)]
    lines = [json.dumps(event) for event in good]
    content = "[\n" + ",\n".join([*lines[:2], bad, lines[2]]) + "\n]"
    facts, events = decoded(content)
    assert facts.events == 3
    assert facts.damaged_count >= 1
    assert facts.damaged_lines[0] == 4
    assert sum(pq.read_table(events)["dur"].to_pylist()) == 42


def test_odd_arguments_are_left_out_and_the_event_stays() -> None:
    odd = node("a", 1, 5, op=None, provider=3, input_type_shape="?", output_size="many")
    odd["args"] |= {"thread_scheduling_stats": [1], "mem_bytes_in_use": {"a": 1}, "new": [[1]]}
    odd["tid"] = "worker-7"
    facts, events = decoded(text([odd, node("b", 6, 5, output_size=12)]))
    rows = rows_of(events)
    assert facts.damaged_count == 0
    assert [row["name"] for row in rows] == ["a", "b"]
    assert [row["output_bytes"] for row in rows] == [None, 12]


def test_fractional_times_are_rounded_to_microseconds() -> None:
    content = text([node("a", 1, 5)]).replace('"dur": 5', '"dur": 5.6')
    assert profile(content).node_time_us == 6


def test_names_that_old_versions_did_not_escape_are_read_by_position() -> None:
    line = (
        '{"cat" : "Node","pid" :1,"tid" :2,"dur" :7,"ts" :10,"ph" : "X","name" :"%s_kernel_time",'
        '"args" : {"op_name" : "Add","provider" : "CPUExecutionProvider","output_size" : "16"}}'
    )
    names = ['say "hi"', "back\\slash", "two\nlines", "plain"]
    content = "[\n" + ",\n".join(line % name for name in names) + "\n]\n"
    facts, events = decoded(content)
    rows = rows_of(events)
    assert [row["name"] for row in rows] == names
    assert {row["op_type"] for row in rows} == {"Add"}
    assert (facts.recovered_count, facts.damaged_count, facts.truncated) == (3, 0, False)


def test_giant_names_are_clipped_and_stay_different() -> None:
    twins = [node("x" * 100_000 + end, i * 10, 5) for i, end in enumerate("ab")]
    found = profile(text(twins))
    assert len(found.nodes) == 2
    assert max(len(row.name) for row in found.nodes) <= 500


def test_unpacked_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_source, "MAX_UNPACKED_BYTES", 1 << 20)
    bomb = gzip.compress(b"[" + b" " * (4 << 20))
    assert refusal(bomb, name="bomb.json.gz").kind == "trace_too_large"


def test_events_beyond_the_cap_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MAX_EVENTS", 10)
    facts, _ = decoded(MLP)
    assert facts.events == 10
    assert facts.capped_count == 2 + 24 * 6 - 10


def test_fences_are_dropped_and_counted() -> None:
    fence = node("a", 1, 0)
    fence["name"] = "a_fence_before"
    facts, _ = decoded(text([fence, node("a", 1, 5), session("model_run", 0, 9)]))
    assert (facts.fence_count, facts.events) == (1, 2)
    assert facts.ort_version == "1.20 or older"


def test_version_is_told_as_the_range_that_writes_this_format() -> None:
    assert decoded(MLP)[0].ort_version == "1.28 or newer"
    old = node("a", 1, 5, exec_plan_index="3", parameter_size="0")
    assert decoded(text([old]))[0].ort_version == "1.4 to 1.13"


def test_ort_says_itself_what_it_dropped() -> None:
    limit = session("profile_truncated", 50, 0)
    limit["args"] = {"max_num_events": "1000000", "dropped_event_count": "77"}
    facts, _ = decoded(text([node("a", 1, 5), limit]))
    assert (facts.dropped_count, facts.max_events) == (77, 1_000_000)


def test_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be read"):
        traces.decode(tmp_path / "absent.json", tmp_path / "out.parquet")


def test_refused_trace_leaves_no_file_behind(tmp_path: Path) -> None:
    path, out = tmp_path / "t.json", tmp_path / "out.parquet"
    path.write_bytes(b"[]")
    with pytest.raises(TraceError):
        traces.decode(path, out)
    assert not out.exists()


FOREIGN_REFUSED = ("notort_", "nnapi_")


def test_foreign_traces_are_read_as_an_independent_count_reads_them(shared_folder: Path) -> None:
    files = [
        path
        for path in sorted((shared_folder / "traces").glob("*/*.json"))
        if not path.name.endswith(".expect.json") and path.name != "SOURCES.json"
    ]
    assert len(files) > 30
    for path in files:
        if path.name.startswith(FOREIGN_REFUSED):
            assert refusal(path.read_bytes()).exit_code == 5, path.name
            continue
        facts, _ = decoded(path.read_bytes())
        try:
            events = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError:
            assert facts.truncated, path.name
            continue
        fences = sum(event["name"].endswith(("_before", "_after")) for event in events)
        assert facts.fence_count == fences, path.name
        assert facts.events == len(events) - fences, path.name
        assert (facts.damaged_count, facts.truncated) == (0, False), path.name


def test_event_cut_off_behind_a_bracket_of_its_arguments_is_not_whole() -> None:
    stats = '"thread_scheduling_stats" : {"main_thread": {"Run": 1}, "sub_threads": {}}'
    line = (
        '{"cat" : "Node","pid" :1,"tid" :2,"dur" :7,"ts" :10,"ph" : "X","name" :"a_kernel_time",'
        '"args" : {"op_name" : "Add",' + stats
    )
    facts, _ = decoded("[\n" + line + "}},\n" + line)
    assert (facts.events, facts.damaged_count, facts.recovered_count) == (1, 1, 0)
