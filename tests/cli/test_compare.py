"""`ortlab compare` as a person and a program run it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from tests.cli.conftest import Command

DATA = ROOT / "tests" / "data"
SEQUENTIAL, PARALLEL = DATA / "cpu_mlp_24runs.json", DATA / "cpu_parallel_executor.json"


def test_two_traces_are_one_document_whose_times_add_up(ortlab: Command) -> None:
    done = ortlab("compare", SEQUENTIAL, PARALLEL, "--json")
    assert done.code == 0
    value = done.document
    assert value["schema"] == "ortlab.compare/1"
    for side in ("base", "other"):
        assert set(value[side]) >= {"source", "run_count", "run_p50_us", "grade"}
        total = sum(row[f"{side}_us"] for row in value["operators"])
        assert total == pytest.approx(value[side]["node_us"])
    change = sum(n["delta_us"] for n in value["nodes"]) + sum(n["us"] for n in value["added"])
    change -= sum(n["us"] for n in value["removed"])
    assert change == pytest.approx(value["other"]["node_us"] - value["base"]["node_us"])


def test_a_ratio_above_one_says_that_the_second_is_faster(ortlab: Command) -> None:
    there = ortlab("compare", SEQUENTIAL, PARALLEL, "--json").document["run"]
    back = ortlab("compare", PARALLEL, SEQUENTIAL, "--json").document["run"]
    assert there["ratio"] == pytest.approx(there["base_us"] / there["other_us"])
    assert back["ratio"] == pytest.approx(1 / there["ratio"])


def test_top_limits_the_nodes(ortlab: Command) -> None:
    assert (
        len(ortlab("compare", SEQUENTIAL, SEQUENTIAL, "--top", 1, "--json").document["nodes"]) == 1
    )


def test_the_table_has_the_answer_first(ortlab: Command) -> None:
    done = ortlab("compare", SEQUENTIAL, PARALLEL)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == f"{SEQUENTIAL.name} against {PARALLEL.name}"
    assert lines[1].startswith("A run of")
    assert "removed" in done.out
    assert "! They were recorded one after the other" in done.out


@pytest.mark.parametrize(
    ("other", "code", "kind"),
    [("nothere", 2, "request"), ("nothere.json", 5, "trace"), ("", 2, "request")],
)
def test_what_cannot_be_compared_has_its_exit_code(
    ortlab: Command, other: str, code: int, kind: str
) -> None:
    done = ortlab("compare", SEQUENTIAL, other, "--json")
    assert done.code == code
    assert done.document["error"]["kind"] == kind
    assert done.document["error"]["hint"]


def test_a_file_that_is_no_profile_is_unusable(ortlab: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"a": 1}')
    done = ortlab("compare", tmp_path / "bad.json", SEQUENTIAL)
    assert done.code == 5
    assert "Traceback" not in done.err


def test_one_source_is_not_enough(ortlab: Command) -> None:
    assert ortlab("compare", SEQUENTIAL).code == 2
