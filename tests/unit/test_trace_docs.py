"""`docs/traces.md` says of trust and limits what the code does."""

from __future__ import annotations

import ast
import inspect
import re
from collections import defaultdict
from pathlib import Path

import pytest

from ortlab.analysis.profiles import node_rows, operators
from ortlab.analysis.reading import nesting, sessions
from ortlab.analysis.trusting import doubts_of_file, doubts_of_times
from ortlab.analysis.trusting.trust import MEANING
from ortlab.worker import traces
from ortlab.worker.tracing import columns, facts, formats, lanes, signatures, source

PAGE = (Path(__file__).parents[2] / "docs/traces.md").read_text(encoding="utf-8")
LIMITS = {
    "events kept of one file": traces.MAX_EVENTS,
    "text in one file, unpacked, GiB": source.MAX_UNPACKED_BYTES >> 30,
    "length of one event, MiB": source.MAX_EVENT_BYTES >> 20,
    "characters of a name (then cut, with a checksum)": signatures.MAX_NAME_CHARACTERS,
    "characters of the shapes of one event": signatures.MAX_SHAPES_CHARACTERS,
    "characters of unknown arguments of one event": columns.MAX_EXTRA_CHARACTERS,
    "unknown arguments with a name of their own": formats.MAX_UNKNOWN_KEYS,
    "categories with a name of their own": facts.MAX_CATEGORIES,
    "signatures with shapes": signatures.MAX_SHAPED,
    "signatures with names": signatures.MAX_SIGNATURES,
    "threads with a number of their own": lanes.MAX_LANES,
    "sessions in one file": sessions.MAX_SESSIONS,
    "levels of nesting": nesting.MAX_DEPTH,
    "rows by node": node_rows.MAX_NODE_ROWS,
    "rows by operator and shapes": operators.MAX_SHAPE_ROWS,
}


def grades_in_code() -> dict[str, set[str]]:
    """The grades that each reason may have, as far as its call names them."""
    found: dict[str, set[str]] = defaultdict(set)
    for module in (doubts_of_file, doubts_of_times):
        for call in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "reason":
                given = next(word.value for word in call.keywords if word.arg == "grade")
                found[call.args[0].value] |= grades_of(given)
    return found


def grades_of(given: ast.expr) -> set[str]:
    grades = set()
    for part in ast.walk(given):
        if isinstance(part, ast.Constant) and part.value in tuple(MEANING):
            grades.add(part.value)
        elif isinstance(part, ast.Name) and part.id == "NOTE":
            grades.add("A")
        elif isinstance(part, ast.Name) and part.id == "_RATIO_GRADES":
            grades |= {grade for _, grade in doubts_of_times._RATIO_GRADES}
    return grades


def test_every_reason_is_told_with_every_grade_that_it_may_have():
    rows = re.findall(r"^\| `(\w+)` \| ([A-F,; ]+) \|", PAGE, re.MULTILINE)
    assert {code: set(re.findall("[A-F]", grades)) for code, grades in rows} == grades_in_code()


def test_every_grade_is_told_in_the_words_of_the_program():
    assert dict(re.findall(r"^\| ([A-F]) \| (.+) \|$", PAGE, re.MULTILINE)) == MEANING


@pytest.mark.parametrize("what", LIMITS)
def test_limits_are_those_of_the_code(what: str):
    assert f"| {what} | {LIMITS[what]:,} |" in PAGE


def test_every_heading_of_the_contents_is_there():
    anchors = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    }
    assert set(re.findall(r"^\d+\. \[.+\]\(#(.+)\)$", PAGE, re.MULTILINE)) == anchors
