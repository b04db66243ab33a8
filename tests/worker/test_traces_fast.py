"""The fast way through a trace: it reads what the careful one reads, whatever the layout."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ortlab.domain.trace import MEMORY_COLUMNS, NOT_TOLD, POOL_COLUMNS, Signature
from ortlab.worker import traces
from ortlab.worker.tracing import formats, signatures, source
from ortlab.worker.tracing.reader import Reader
from tests.trace_text import DATA, decoded, node, recorded, session, text

MLP = recorded("cpu_mlp_24runs")
RECORDED = sorted(
    path
    for path in DATA.glob("*.json")
    if not path.name.endswith(".placement.json") and b'"ph"' in path.read_bytes()
)


def events_of(path: Path) -> list[dict[str, Any]]:
    return [event for event in json.loads(path.read_bytes()) if event["ph"] == "X"]


def node_events(path: Path) -> list[dict[str, Any]]:
    return [
        event
        for event in events_of(path)
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time")
    ]


def stored(content: bytes) -> tuple[list[list[Any]], list[dict[str, Any]]]:
    """Signatures and rows, with the lane's names in place of its number."""
    _, out = decoded(content)
    notes = pq.read_metadata(out).metadata
    found = msgspec.msgpack.decode(zlib.decompress(notes[b"ortlab.signatures"]))
    lanes = json.loads(notes[b"ortlab.lanes"])
    rows = pq.read_table(out).to_pylist()
    return found, [{**row, "lane": lanes[row["lane"]]} for row in rows]


def layouts(content: bytes) -> dict[str, bytes]:
    events = json.loads(content)
    return {
        "lines": content,
        "crlf": content.replace(b"\n", b"\r\n"),
        "without commas": "\n".join(json.dumps(one) for one in events).encode() + b"\n",
        "wrapped lines": b'{"traceEvents": ' + content.strip() + b', "otherData": {"a": [1]}}',
        "wrapped, last line": b'{"traceEvents": [\n'
        + ",\n".join(json.dumps(one) for one in events).encode()
        + b'], "displayTimeUnit": "ms"}',
        "indented": json.dumps(events, indent=2).encode(),
        "sorted keys": json.dumps(events, indent=1, sort_keys=True).encode(),
        "one line": json.dumps(events).encode(),
        "wrapped, one line": json.dumps({"traceEvents": events, "n": [{}, []]}).encode(),
    }


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_careful_way_reads_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = stored(path.read_bytes())
    monkeypatch.setattr(Reader, "_block", lambda self, block: False)
    assert stored(path.read_bytes()) == fast


@pytest.mark.parametrize("name", sorted(layouts(MLP)))
def test_no_layout_is_read_event_by_event(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BLOCK_BYTES", 4096)
    careful = 0
    keep = Reader._keep

    def counted(self: Reader, found: Any) -> None:
        nonlocal careful
        events = list(found)
        careful += len(events)
        keep(self, events)

    monkeypatch.setattr(Reader, "_keep", counted)
    facts, _ = decoded(layouts(MLP)[name])
    assert (facts.events, facts.damaged_count, facts.truncated) == (2 + 24 * 6, 0, False)
    # Blocks of some five events: what follows the list may cost the last of them.
    assert careful <= 12


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(size=st.integers(300, 70_000), name=st.sampled_from(sorted(layouts(MLP))))
def test_where_blocks_end_does_not_matter(size: int, name: str) -> None:
    before = source.BLOCK_BYTES
    source.BLOCK_BYTES = size
    try:
        _, rows = stored(layouts(MLP)[name])
    finally:
        source.BLOCK_BYTES = before
    assert [(row["ts"], row["dur"]) for row in rows] == [
        (event["ts"], event["dur"]) for event in json.loads(MLP)
    ]


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_sums_by_operator_are_those_of_a_plain_loop(path: Path) -> None:
    calls: Counter[Any] = Counter()
    times: Counter[Any] = Counter()
    for event in node_events(path):
        key = (event["args"].get("op_name"), event["args"].get("provider"))
        calls[key] += 1
        times[key] += event["dur"]
    assert traces.aggregate(path) == {key: (calls[key], times[key]) for key in calls}


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_every_number_and_text_of_a_node_event_is_stored(path: Path) -> None:
    found, rows = stored(path.read_bytes())
    fields = [field.name for field in msgspec.structs.fields(Signature)]
    told = [dict(zip(fields, found[row["sig"]], strict=True)) for row in rows]
    nodes = [(row, one) for row, one in zip(rows, told, strict=True) if one["category"] == 1]
    for (row, one), event in zip(nodes, node_events(path), strict=True):
        arguments = event["args"]
        assert (row["ts"], row["dur"]) == (event["ts"], event["dur"])
        assert row["lane"] == [event["pid"], event["tid"]]
        assert one["name"] + "_kernel_time" == event["name"]
        assert one["op_type"] == arguments["op_name"]
        assert one["output_bytes"] == int(arguments["output_size"])
        shapes = " ".join(
            f"{kind}[{','.join(map(str, dims))}]"
            for pair in arguments["input_type_shape"]
            for kind, dims in pair.items()
        )
        assert (one["input_shapes"] or "") == shapes
        for name in MEMORY_COLUMNS:
            assert row[name] == int(arguments.get(name, NOT_TOLD))
        stats = arguments.get("thread_scheduling_stats") or None
        if stats is None:
            assert row["pool_run_us"] == row["pool_core"] == row["sub_run_count"] == NOT_TOLD
            continue
        main, subs = stats["main_thread"], stats["sub_threads"]
        runs = [sub["num_run"] for sub in subs.values()]
        assert [row[name] for name in POOL_COLUMNS] == [
            main["Run"], main["Wait"], main["Distribution"],
            main["block_size"][0] if main["block_size"] else NOT_TOLD, len(main["block_size"]),
            sum(runs), max(runs, default=0), len(runs), main["core"],
        ]  # fmt: skip


def test_threads_of_the_pool_are_known_with_their_work() -> None:
    path = DATA / "cpu_scan_two_threads.json"
    seen: dict[str, int] = {}
    for event in node_events(path):
        stats = event["args"]["thread_scheduling_stats"] or {"sub_threads": {}}
        for thread, sub in stats["sub_threads"].items():
            seen[thread] = max(seen.get(thread, 0), sub["num_run"])
    facts, _ = decoded(path.read_bytes())
    assert seen
    for thread, runs in seen.items():
        assert facts.pool_threads[thread].run_count == runs
        assert facts.pool_threads[thread].pool


def test_sessions_of_a_joined_file_are_counted() -> None:
    assert decoded(recorded("joined_two_sessions"))[0].session_count == 2
    assert decoded(MLP)[0].session_count == 1


def test_unknown_arguments_are_kept_and_counted() -> None:
    events = [
        node(f"n{i}", i * 10, 5, **({"flavour": {"a": i}} if i % 2 else {})) for i in range(4)
    ]
    events[0]["sf"] = 7
    facts, out = decoded(text(events))
    assert facts.unknown_fields == {"flavour": 2, "sf": 1}
    extra = [one and json.loads(one) for one in pq.read_table(out)["extra"].to_pylist()]
    assert extra == [{"sf": 7}, {"flavour": {"a": 1}}, None, {"flavour": {"a": 3}}]


def test_a_new_key_in_every_event_is_lumped_together() -> None:
    events = [node(f"n{i % 7}", i * 10, 5, **{f"key{i}": i}) for i in range(300)]
    facts, out = decoded(text(events))
    assert (facts.events, facts.damaged_count) == (300, 0)
    assert sum(facts.unknown_fields.values()) == 300
    assert len(facts.unknown_fields) <= formats.MAX_UNKNOWN_KEYS + 1
    last = json.loads(pq.read_table(out)["extra"].to_pylist()[-1])
    assert last == {formats.ODD_KEY: {"key299": 299}}


def test_more_shapes_than_can_be_kept_cost_the_shapes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "MAX_SHAPED", 10)
    events = [node(f"n{i % 5}", i * 10, 5, input_type_shape=[{"float": [i]}]) for i in range(100)]
    facts, out = decoded(text(events))
    assert (facts.folded_count, facts.folded_shapes_count) == (0, 90)
    assert sum(pq.read_table(out)["dur"].to_pylist()) == 500


def test_more_names_than_can_be_kept_become_one_for_each_operator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signatures, "MAX_SHAPED", 10)
    monkeypatch.setattr(signatures, "MAX_SIGNATURES", 20)
    events = [node(f"n{i}", i * 10, 5, op="Add" if i % 2 else "Mul") for i in range(100)]
    events.append(session("model_run", 0, 1000))
    found, rows = stored(text(events).encode())
    facts, _ = decoded(text(events))
    assert facts.folded_count == 80
    others = {one[2] for one in found if one[1] == signatures.OTHER_NAMES}
    assert others == {"Add", "Mul"}
    assert "model_run" in {one[1] for one in found}
    assert sum(row["dur"] for row in rows) == 500 + 1000


def test_threads_named_by_text_keep_their_names() -> None:
    events = [{**node("a", i * 10, 5), "tid": name} for i, name in enumerate(["io", 7, "io", "x"])]
    _, rows = stored(text(events).encode())
    assert [row["lane"] for row in rows] == [[1, "io"], [1, 7], [1, "io"], [1, "x"]]


def test_unsound_events_in_a_sound_block_are_told_with_their_lines() -> None:
    lines = [json.dumps(node("a", i * 10, -5 if i in (3, 8) else 5)) for i in range(10)]
    facts, _ = decoded("[\n" + ",\n".join(lines) + "\n]\n")
    assert (facts.events, facts.damaged_lines) == (8, (5, 10))


def test_sums_leave_out_what_the_table_leaves_out(tmp_path: Path) -> None:
    bad = (
        '{"cat":"Node","name":"b_kernel_time","ph":"X","ts":"soon","dur":7,"args":{"op_name":"B"}}'
    )
    path = tmp_path / "t.json"
    path.write_text(text([node("a", 1, 5)]).replace("\n]", ",\n" + bad + "\n]"))
    assert list(traces.aggregate(path).values()) == [(1, 5)]


@pytest.mark.parametrize(
    ("producer", "category", "says"),
    [
        ("onnxruntime-mlx-ep", "op", "MLX execution provider"),
        ("onnxruntime-ep-vulkan", "ep", "Vulkan execution provider"),
        ("python", "cpu_op", "PyTorch"),
    ],
)
def test_known_writers_of_other_traces_are_named(producer: str, category: str, says: str) -> None:
    events = [
        {"name": "process_name", "cat": "__meta", "ph": "M", "ts": 0, "args": {"name": producer}},
        {"name": "gemm", "cat": category, "ph": "X", "ts": 1, "dur": 5, "pid": 1, "tid": 0},
    ]  # fmt: skip
    with pytest.raises(traces.TraceError, match=says):
        decoded(json.dumps(events))


MEASURE = """
import resource, sys
from pathlib import Path
from ortlab.worker import traces
small, large, out = map(Path, sys.argv[1:])
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
traces.decode(small, out)
before = peak()
assert traces.decode(large, out).events > 60_000
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such figure")
def test_reading_takes_the_same_memory_whatever_the_size(tmp_path: Path) -> None:
    large, small = tmp_path / "large.json", DATA / "cpu_mlp_24runs.json"
    lines = MLP.split(b"\n", 1)[1].rsplit(b"\n]", 1)[0]
    large.write_bytes(b"[\n" + b",\n".join([lines] * 600) + b"\n]\n")
    size = large.stat().st_size
    command = [sys.executable, "-c", MEASURE, str(small), str(large), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert size > 30 << 20
    # Two groups of rows in flight; a whole file in memory would take its size and more.
    assert int(done.stdout) * 1024 < size


def test_rows_are_in_the_order_of_the_file_over_several_groups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ortlab.worker.tracing import columns

    monkeypatch.setattr(columns, "GROUP_EVENTS", 16)
    _, rows = stored(MLP)
    assert [row["ts"] for row in rows] == [event["ts"] for event in json.loads(MLP)]
    assert np.all([row["sig"] >= 0 for row in rows])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("size", [1_000, 20_000, 500_000])
def test_damaged_lines_are_told_whatever_went_before(
    packed: bool, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "BLOCK_BYTES", size)
    lines = MLP.split(b"\n")
    for at in (3, 60, 61, 140):
        lines[at - 1] = b'{"cat" : broken},'
    lines[99] = b""
    content = b"\n".join(lines)
    facts, _ = decoded(gzip.compress(content) if packed else content)
    assert facts.damaged_lines == (3, 60, 61, 140)
    assert (facts.events, facts.truncated) == (146 - 5, False)
