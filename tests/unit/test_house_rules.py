"""The limits of the house style that no linter knows."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTION_LINES = 60
FILE_LINES = 400
PAGE_LINES = 120
CODE_FOLDERS = ("ortlab", "pages", "tests", "benchmarks", "sample_models")
VAGUE_NAMES = {"utils", "helpers", "manager", "base", "common", "misc"}
HEAVY = ("pandas", "plotly", "streamlit", "onnxruntime", "onnx", "pyarrow")


def code_files() -> list[Path]:
    files = [file for folder in CODE_FOLDERS for file in (ROOT / folder).rglob("*.py")]
    return sorted(file for file in [*files, ROOT / "app.py"] if file.exists())


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("file", code_files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_file_and_its_functions_are_short_enough_to_read(file: Path) -> None:
    limit = PAGE_LINES if file.parent == ROOT / "pages" else FILE_LINES
    count = len(file.read_text(encoding="utf-8").splitlines())
    assert count <= limit, f"{file.relative_to(ROOT)} has {count} lines, over {limit}"
    for function in functions(file):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        assert lines <= FUNCTION_LINES, f"{function.name} has {lines} lines, over {FUNCTION_LINES}"


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert not [file for file in code_files() if file.stem in VAGUE_NAMES]


def test_importing_ortlab_loads_nothing_heavy() -> None:
    program = f"import ortlab, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert run.stdout.strip() == "[]"


def test_reading_a_trace_loads_no_pandas(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from ortlab.analysis.profiles import digest
from ortlab.worker import traces
folder = Path({str(tmp_path)!r})
traces.decode(Path("tests/data/cpu_control_flow.json"), folder / "events.parquet")
digest.digest(folder / "events.parquet", folder)
print("pandas" in sys.modules)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert run.stdout.strip() == "False"


def test_no_text_names_a_place_of_one_machine() -> None:
    needles = ("/" + "work/", "/" + "root/", "file:" + "///opt")
    offenders = [
        str(file.relative_to(ROOT))
        for file in [*code_files(), *ROOT.glob("*.txt"), *ROOT.glob("*.md"), ROOT / "Makefile"]
        if any(needle in file.read_text(encoding="utf-8") for needle in needles)
    ]
    assert offenders == []
