"""The example notebook runs from top to bottom."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE_S = 300


@pytest.mark.slow
def test_the_first_measurement_runs_and_shows_a_table_and_two_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    # Jupyter's own packages warn about each other; what runs in the kernel is ours to check.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nbformat
        from nbclient import NotebookClient

        notebook = nbformat.read(EXAMPLES / "first_measurement.ipynb", as_version=4)
        client = NotebookClient(notebook, timeout=PATIENCE_S, kernel_name="python3",
                                resources={"metadata": {"path": str(EXAMPLES)}})  # fmt: skip
        client.execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    kinds = [kind for output in shown for kind in output.get("data", {})]
    assert not [output for output in shown if output.output_type == "error"]
    assert kinds.count("application/vnd.plotly.v1+json") == 2
    assert kinds.count("text/html") >= 3
    text = "".join(output.get("text", "") for output in shown)
    assert "as ortlab measured it" in text


def test_the_notebook_is_kept_without_outputs():
    import json

    notebook = json.loads((EXAMPLES / "first_measurement.ipynb").read_text())
    assert all(not cell.get("outputs") for cell in notebook["cells"])
