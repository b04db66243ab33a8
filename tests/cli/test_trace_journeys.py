"""A trace as people hand it over: packed, cut off, renamed; every door takes it alike."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from ortlab import Lab
from ortlab.domain import units
from ortlab.domain.files import begins_as_json, looks_like_trace
from tests.cli.conftest import Command
from tests.conftest import ROOT

TRACE = Path(__file__).parents[1] / "data" / "cpu_mlp_24runs.json"
MODEL = ROOT / "sample_models" / "digits_cnn.onnx"
TEXT = TRACE.read_bytes()
PACKED = gzip.compress(TEXT)
FORMS = {
    "trace.json": TEXT,
    "trace.json.gz": PACKED,
    "trace.gz": PACKED,
    "trace.txt": b"\xef\xbb\xbf" + TEXT,
    "trace": PACKED,
}


@pytest.mark.parametrize("name", FORMS)
def test_a_packed_or_renamed_trace_gives_the_figures_of_the_plain_one(
    ortlab: Command, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(FORMS[name])
    done = ortlab("profile", tmp_path / name, "--json")
    assert done.code == 0, done.err
    assert done.document["source"] == name
    plain = ortlab("profile", TRACE, "--json").document
    assert done.document["operators"] == plain["operators"]


@pytest.mark.parametrize("name", FORMS)
def test_the_python_door_takes_a_packed_or_renamed_trace(
    own_home: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(FORMS[name])
    profile = Lab.open(own_home).profile(tmp_path / name).record
    assert sum(row.self_us for row in profile.operators) == profile.toplevel_us > 0


def test_a_cut_off_packed_trace_is_read_up_to_the_cut(ortlab: Command, tmp_path: Path) -> None:
    cut = tmp_path / "cut.json.gz"
    cut.write_bytes(PACKED[: len(PACKED) // 2])
    document = ortlab("profile", cut, "--json").document
    assert 0 < document["node_event_count"] < 96
    assert "cut_off" in {reason["code"] for reason in document["trust"]["reasons"]}


def test_a_packed_file_that_holds_no_trace_is_no_trace(ortlab: Command, tmp_path: Path) -> None:
    packed = tmp_path / "model.onnx.gz"
    packed.write_bytes(gzip.compress(MODEL.read_bytes()))
    done = ortlab("profile", packed)
    assert (done.code, "gzip" in done.sentence, "Unpack it" in done.err) == (3, True, True)
    (tmp_path / "named.json.gz").write_bytes(packed.read_bytes())
    assert ortlab("profile", tmp_path / "named.json.gz").code == 5


def test_what_is_no_json_is_no_trace_and_a_models_name_is_believed(tmp_path: Path) -> None:
    assert not looks_like_trace(MODEL)
    assert not looks_like_trace(tmp_path)
    assert not looks_like_trace(tmp_path / "missing.txt")
    renamed = tmp_path / "trace.onnx"
    renamed.write_bytes(TEXT)
    assert not looks_like_trace(renamed)
    assert begins_as_json(renamed)
    damaged = tmp_path / "damaged.gz"
    damaged.write_bytes(PACKED[:2] + b"\xff" * 40)
    assert not looks_like_trace(damaged)


def _rows(printed: str, first: str) -> list[list[str]]:
    """Cells of the printed table whose head begins with `first`."""
    lines = printed.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:1] == [first])
    rows = []
    for line in lines[start + 2 :]:
        if not line.strip():
            break
        rows.append([cell for cell in re.split(r"\s{2,}", line.strip()) if cell])
    return rows


def test_a_steady_table_divides_by_the_runs_it_counts(ortlab: Command) -> None:
    document = ortlab("profile", TRACE, "--steady", "--json").document
    steady = sum(not run["warmup"] for run in document["runs"])
    assert 0 < steady < len(document["runs"])
    printed = ortlab("profile", TRACE, "--steady").out
    told = {row[0]: row[3] for row in _rows(printed, "operator")}
    expected = {
        row["op_type"]: units.time(row["self_us"] / steady) for row in document["operators"]
    }
    assert told == expected
    assert f"{steady} of 24 runs" in printed.splitlines()[0]


def test_no_nodes_are_printed_when_none_are_asked_for(ortlab: Command) -> None:
    assert "inputs" in ortlab("profile", TRACE, "--top", 1).out
    assert len(_rows(ortlab("profile", TRACE, "--top", 1).out, "node")) == 1
    assert "inputs" not in ortlab("profile", TRACE, "--top", 0).out


def test_names_of_any_length_keep_one_line_each(ortlab: Command, tmp_path: Path) -> None:
    names = ["x" * 10_240, "two\nlines\tand a tab", "\x1b[31mred", "ok"]
    events = json.loads(TEXT)
    nodes = [e for e in events if e["cat"] == "Node"]
    for event, name in zip(nodes, names, strict=False):
        event["name"] = f"{name}_kernel_time"
        event["args"]["op_name"] = name
    (tmp_path / "names.json").write_text(json.dumps(events))
    printed = ortlab("profile", tmp_path / "names.json").out
    assert "\x1b" not in printed
    assert max(map(len, printed.splitlines())) <= 200
    assert len(_rows(printed, "operator")) == len({*names, "MatMul", "Softmax", "Relu"})
    assert all(len(row) >= 5 for row in _rows(printed, "operator"))
