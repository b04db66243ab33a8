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
    assert at.number_input(key="export-run-3").value == 3
    assert len(at.get("download_button")) == 4


def test_the_menu_grows_no_larger_with_the_number_of_runs(own_home: object) -> None:
    file = DATA / "cpu_mlp_24runs.json"
    at = AppTest.from_function(script, args=(str(own_home), str(file)), default_timeout=60).run()
    assert not at.selectbox
    at.number_input(key="export-run-3").set_value(23).run()
    assert not at.exception
    assert "It took" in at.caption[0].value
