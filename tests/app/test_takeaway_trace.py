"""The Export menu of a profile."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from tests.trace_text import DATA


def script(home: str, path: str) -> None:
    from ortlab.lab import Lab
    from ortlab.ui import takeaway_trace

    lab = Lab.open(home)
    takeaway_trace.menu(lab.trace(lab.open_trace(path)), run=3)


def test_every_format_is_offered_and_the_run_on_the_page_is_chosen(own_home: object) -> None:
    file = DATA / "cpu_mlp_24runs.json"
    at = AppTest.from_function(script, args=(str(own_home), str(file)), default_timeout=60).run()
    assert not at.exception
    assert at.selectbox(key="export-run").value == 3
    assert len(at.get("download_button")) == 4
