"""A profile taken to Perfetto, speedscope, Model Explorer and spreadsheets, and back."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortlab.analysis.profiles import traces
from ortlab.catalog.exports import ALL_RUNS, FORMATS
from ortlab.domain.trace import NodeRow, OperatorRow, Profile
from ortlab.errors import RequestError, TraceError
from ortlab.export import chrome, model_explorer, profile_files, spans, speedscope, tables
from tests.trace_text import DATA, decoded, node, recorded, session, text

RECORDED = sorted(p.stem for p in DATA.glob("*.json") if not p.stem.endswith(".placement"))


def opened(content: str | bytes) -> tuple[Profile, Path]:
    _, events = decoded(content)
    return traces.profile(events, source="a test.json"), events


def exported(
    content: str | bytes, *, run: int | str | None = ALL_RUNS, limit: int = 10_000
) -> bytes:
    profile, events = opened(content)
    return b"".join(
        chrome.blocks(spans.cut(profile, events, run=run, limit=limit), source=profile.source)
    )


def sums(profile: Profile) -> dict[str, Any]:
    """Everything that must come back: time by operator, node and run, and where nodes lie."""
    return {
        "operators": sorted((o.op_type, o.provider, o.calls, o.total_us, o.self_us)
                            for o in profile.operators),
        "nodes": sorted((n.scope, n.name, n.op_type, n.calls, n.self_us, n.input_shapes,
                         n.output_shapes, n.output_bytes or 0, n.parameter_bytes or 0)
                        for n in profile.nodes),
        "runs": [(r.duration_us, r.node_count, r.node_time_us, r.warmup) for r in profile.runs],
        "events": (profile.node_event_count, profile.toplevel_us, profile.device_event_count,
                   profile.device_time_us),
        "session": profile.session,
    }  # fmt: skip


# ---- Chrome trace


@pytest.mark.parametrize("name", RECORDED)
def test_an_exported_trace_opened_again_has_the_same_sums(name: str) -> None:
    assert sums(opened(exported(recorded(name)))[0]) == sums(opened(recorded(name))[0])


def test_every_foreign_trace_comes_back_with_the_same_sums(shared_folder: Path) -> None:
    compared = 0
    for file in sorted((shared_folder / "traces").rglob("*.json")):
        try:
            original = opened(file.read_bytes())[0]
        except TraceError:
            continue
        if not original.nodes:
            continue
        compared += 1
        assert sums(opened(exported(file.read_bytes()))[0]) == sums(original), file.name
    assert compared > 20


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 1), st.booleans()),
                min_size=1, max_size=25))  # fmt: skip
def test_whatever_overlaps_nothing_crosses_and_no_time_is_lost(spots: list[Any]) -> None:
    events = [
        node(f"n{i % 3}", ts, dur, tid=tid, op="Loop" if holds else "Add")
        for i, (ts, dur, tid, holds) in enumerate(spots)
    ]
    content = text([*events, session("model_run", 0, 100)])
    document = json.loads(exported(content))
    check_viewers_rules(document)
    again = opened(json.dumps(document))[0]
    assert Counter(n["name"] for n in node_events(document)) == Counter(e["name"] for e in events)
    assert again.node_time_us == sum(event["dur"] for event in events)


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("run", [ALL_RUNS, 0, None])
def test_an_exported_trace_follows_the_rules_of_the_viewers(name: str, run: Any) -> None:
    check_viewers_rules(json.loads(exported(recorded(name), run=run)))


def check_viewers_rules(document: dict[str, Any]) -> None:
    """Perfetto's: complete events nest in their track; every process and thread has a name."""
    events = document["traceEvents"]
    names = {(e["pid"], e["tid"]) for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    processes = {e["pid"] for e in events if e["ph"] == "M" and e["name"] == "process_name"}
    tracks: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            start, length = round(event["ts"] * 1000), round(event["dur"] * 1000)
            assert start >= 0
            assert length >= 0
            assert isinstance(event["args"], dict)
            tracks[event["pid"], event["tid"]].append((start, -length))
    assert set(tracks) == names
    assert {pid for pid, _ in tracks} == processes
    for track in tracks.values():
        open_until: list[int] = []
        for start, negative in sorted(track):
            while open_until and open_until[-1] <= start:
                open_until.pop()
            assert not open_until or start - negative <= open_until[-1]
            open_until.append(start - negative)


def node_events(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [e for e in document["traceEvents"] if e.get("cat") == "Node"]


def test_one_run_has_its_own_nodes_only_and_begins_at_zero() -> None:
    whole, _ = opened(recorded("cpu_mlp_24runs"))
    document = json.loads(exported(recorded("cpu_mlp_24runs"), run=7))
    assert len(node_events(document)) == whole.runs[7].node_count
    (run,) = [e for e in document["traceEvents"] if e["name"] == "model_run"]
    assert (run["ts"], run["dur"]) == (0, whole.runs[7].duration_us)
    assert "23 other runs" in document["otherData"]["left out"]


def test_one_of_several_runs_at_once_leaves_the_others_out() -> None:
    whole, _ = opened(recorded("cpu_concurrent_runs"))
    for run in whole.runs:
        again = opened(exported(recorded("cpu_concurrent_runs"), run=run.index))[0]
        assert [r.duration_us for r in again.runs] == [run.duration_us]
        assert again.toplevel_us == run.node_time_us


@pytest.mark.parametrize("name", RECORDED)
def test_every_run_by_itself_has_the_nodes_and_the_time_that_the_profile_tells(name: str) -> None:
    whole, _ = opened(recorded(name))
    for run in whole.runs:
        again = opened(exported(recorded(name), run=run.index))[0]
        assert (again.node_event_count, again.toplevel_us) == (run.node_count, run.node_time_us)


def test_memory_fields_and_own_time_go_along() -> None:
    content = text([node("a", 1, 5, mem_bytes_in_use="4096"), session("model_run", 0, 9)])
    (arguments,) = [event["args"] for event in node_events(json.loads(exported(content)))]
    assert arguments["mem_bytes_in_use"] == "4096"
    assert arguments["self_us"] == "5"


def test_beyond_the_limit_whole_runs_are_left_out_and_told() -> None:
    document = json.loads(exported(recorded("cpu_mlp_24runs"), limit=20))
    assert document["otherData"]["left out"] == "the last 19 of 24 runs"
    assert len(node_events(document)) == 20


def test_of_a_run_beyond_the_limit_the_shortest_events_are_left_out_and_told() -> None:
    events = [node(f"n{i}", 10 * i, 1 + i % 9) for i in range(50)]
    document = json.loads(exported(text([*events, session("model_run", 0, 600)]), run=0, limit=31))
    assert "the 20 shortest events" in document["otherData"]["left out"]
    kept = sorted(e["dur"] for e in node_events(document))
    assert kept == sorted(e["dur"] for e in events)[-30:]


def test_a_run_that_is_not_there_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    profile, events = opened(recorded("cpu_control_flow"))
    with pytest.raises(RequestError, match="no run 9"):
        profile_files.write("chrome", profile, events, out=tmp_path / "t.json", run=9)
    assert not list(tmp_path.iterdir())


def test_shapes_come_back_as_ort_writes_them() -> None:
    assert chrome.shape_list("float[1,3] int64[] string[-1]") == [
        {"float": [1, 3]}, {"int64": []}, {"string": [-1]}]  # fmt: skip
    assert chrome.shape_list("float[1,3 cut…0a") == "float[1,3 cut…0a"


def test_a_name_that_ends_in_gz_is_packed_and_reads_the_same(tmp_path: Path) -> None:
    profile, events = opened(recorded("cpu_control_flow"))
    plain, packed = (
        profile_files.write("chrome", profile, events, out=tmp_path / name, run=ALL_RUNS)[0]
        for name in ("t.json", "t.json.gz")
    )
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    download = profile_files.as_one_file("chrome", profile, events, run=ALL_RUNS)
    assert sums(opened(download)[0]) == sums(profile)


# ---- speedscope


@pytest.mark.parametrize("name", RECORDED)
def test_speedscope_stacks_open_and_close_in_order(name: str) -> None:
    profile, events = opened(recorded(name))
    document = json.loads(speedscope.document(spans.cut(profile, events), profile))
    frames = document["shared"]["frames"]
    threads = [p for p in document["profiles"] if p["type"] == "evented"]
    assert threads
    for thread in threads:
        stack, last = [], 0
        for event in thread["events"]:
            assert event["at"] >= last
            assert 0 <= event["frame"] < len(frames)
            last = event["at"]
            if event["type"] == "O":
                stack.append(event["frame"])
            else:
                assert stack.pop() == event["frame"]
        assert not stack
        assert thread["endValue"] >= last


@pytest.mark.parametrize("name", RECORDED)
def test_speedscope_weights_by_module_are_all_own_time(name: str) -> None:
    profile, events = opened(recorded(name))
    document = json.loads(speedscope.document(spans.cut(profile, events), profile))
    (modules,) = [p for p in document["profiles"] if p["type"] == "sampled"]
    assert sum(modules["weights"]) == modules["endValue"] == profile.toplevel_us
    assert len(modules["samples"]) == len(modules["weights"])
    used = {number for stack in modules["samples"] for number in stack}
    assert used <= set(range(len(document["shared"]["frames"])))


def test_speedscope_shows_a_layer_around_its_nodes() -> None:
    names = [f"/encoder/layer.{i}/attention/MatMul" for i in range(3)]
    nodes = [node(name, 10 * i, 5) for i, name in enumerate(names)]
    profile, events = opened(text([*nodes, session("model_run", 0, 99)]))
    document = json.loads(speedscope.document(spans.cut(profile, events), profile))
    frames = [f["name"] for f in document["shared"]["frames"]]
    stacks = [[frames[n] for n in stack] for stack in document["profiles"][0]["samples"]]
    assert all(stack[0] == "encoder" and "attention" in stack for stack in stacks)


# ---- Model Explorer


def test_node_data_adds_up_to_the_node_time_of_a_run() -> None:
    profile, _ = opened(recorded("cpu_control_flow"))
    files = model_explorer.files(profile)
    times = json.loads(files["time_us_per_run"])["results"]
    assert sum(v["value"] for v in times.values()) == pytest.approx(profile.toplevel_us / 2)
    assert {"loop", "relu"} <= set(times)
    assert "same" not in times
    shares = json.loads(files["share"])
    assert sum(v["value"] for v in shares["results"].values()) == pytest.approx(1, abs=1e-4)
    assert [g["stop"] for g in shares["gradient"]][:: len(shares["gradient"]) - 1] == [0, 1]


@pytest.mark.parametrize(
    ("executed", "original"),
    [("conv_token_3", "conv"), ("y_nchwc", "y"), ("_inlfunc_F_add", "F_add"), ("plain", "plain"),
     ("a_token_1_nchwc", "a"), ("", "")],
)  # fmt: skip
def test_what_ort_added_to_a_name_is_taken_off(executed: str, original: str) -> None:
    assert model_explorer.original_name(executed) == original


def test_launch_times_are_called_so_and_have_no_shares() -> None:
    operator = OperatorRow(op_type="A", provider="P", calls=1, total_us=4, self_us=4, share=None)
    row = NodeRow(name="a", op_type="A", provider="P", calls=2, total_us=4, self_us=4, p50_us=2,
                  device_us=90)  # fmt: skip
    profile = Profile(source="x", operators=(operator,), nodes=(row,), counted_runs=2,
                      async_providers=("P",))  # fmt: skip
    files = model_explorer.files(profile)
    assert set(files) == {"launch_us_per_run", "device_us_per_run"}
    assert json.loads(files["device_us_per_run"])["results"] == {"a": {"value": 45}}


# ---- CSV


def test_tables_have_every_column_and_every_row() -> None:
    profile, _ = opened(recorded("cpu_mlp_24runs"))
    files = tables.files(profile)
    assert set(files) >= {"operators", "nodes", "runs"}
    for name, content in files.items():
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        assert len(rows) == len(getattr(profile, name)) > 0
    nodes = list(csv.DictReader(io.StringIO(files["nodes"].decode())))
    assert sum(int(row["self_us"]) for row in nodes) == profile.toplevel_us
    assert {"ci95_low_us", "ci95_high_us"} <= set(nodes[0])
    for row, told in zip(profile.nodes, nodes, strict=True):
        low, high = row.ci95_us or (None, None)
        assert (told["ci95_low_us"], told["ci95_high_us"]) == (str(low), str(high))


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_a_node_name_that_a_spreadsheet_would_run_gets_a_quote(start: str) -> None:
    name = f'{start}cmd|x, "y"'
    profile, _ = opened(text([node(name, 0, 5), session("model_run", 0, 9)]))
    (row,) = csv.DictReader(io.StringIO(tables.files(profile)["nodes"].decode()))
    assert row["name"] == "'" + name


# ---- files


def test_several_files_stand_in_a_folder_or_beside_the_first(tmp_path: Path) -> None:
    profile, events = opened(recorded("cpu_control_flow"))
    inside = profile_files.write("csv", profile, events, out=tmp_path / "all")
    beside = profile_files.write("csv", profile, events, out=tmp_path / "p.csv")
    assert [p.name for p in inside][:2] == ["operators.csv", "nodes.csv"]
    assert [p.name for p in beside][:2] == ["p.csv", "p.nodes.csv"]
    assert [p.read_bytes() for p in inside] == [p.read_bytes() for p in beside]


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.id)
def test_every_format_makes_a_file_and_a_download(form: Any, tmp_path: Path) -> None:
    profile, events = opened(recorded("cpu_mlp_24runs"))
    written = profile_files.write(form.id, profile, events, out=tmp_path / f"x{form.suffix}")
    assert written[0] == tmp_path / f"x{form.suffix}"
    download = profile_files.as_one_file(form.id, profile, events)
    if form.of_runs:
        assert gzip.decompress(download) == written[0].read_bytes()
        return
    with zipfile.ZipFile(io.BytesIO(download)) as archive:
        assert [archive.read(n) for n in archive.namelist()] == [p.read_bytes() for p in written]


def test_a_format_that_is_not_there_is_refused(tmp_path: Path) -> None:
    profile, events = opened(recorded("cpu_control_flow"))
    with pytest.raises(RequestError, match="pprof"):
        profile_files.write("pprof", profile, events, out=tmp_path / "x")


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    profile, events = opened(recorded("cpu_control_flow"))
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match="cannot be written"):
        profile_files.write("chrome", profile, events, out=tmp_path / "file" / "x.json")
