"""`ortlab profile --export`: files beside the answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command

DATA = Path(__file__).parents[1] / "data"
TRACE = DATA / "cpu_control_flow.json"


def test_an_exported_trace_is_a_trace_that_profile_reads(ortlab: Command, tmp_path: Path) -> None:
    out = tmp_path / "new" / "all.json.gz"
    first = ortlab("profile", TRACE, "--json", "--export", "chrome", "-o", out, "--run", "all")
    assert f"written: {out}" in first.err
    unpacked = tmp_path / "again.json"
    unpacked.write_bytes(out.read_bytes())
    again = ortlab("profile", unpacked, "--json")
    assert again.document["operators"] == first.document["operators"]
    assert again.document["toplevel_us"] == first.document["toplevel_us"]


def test_tables_are_written_beside_each_other(ortlab: Command, tmp_path: Path) -> None:
    done = ortlab("profile", TRACE, "--export", "csv", "-o", tmp_path / "tables")
    assert done.code == 0
    assert {p.name for p in (tmp_path / "tables").iterdir()} >= {"nodes.csv", "operators.csv"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--export", "chrome"), "needs a place"),
        (("--export", "pprof", "-o", "x"), "pprof"),
        (("--run", "1"), "--run belongs to an export"),
        (("-o", "x"), "-o belongs to an export"),
        (("--export", "chrome", "-o", "x", "--run", "last"), "last"),
        (("--export", "chrome", "-o", "x", "--run", "7"), "no run 7"),
    ],
    ids=lambda value: "",
)
def test_an_impossible_export_is_refused(
    ortlab: Command, options: tuple[str, ...], words: str
) -> None:
    done = ortlab("profile", TRACE, *options, "--json")
    assert done.code == 2
    assert words in json.loads(done.out)["error"]["message"]
