"""The roofline in a real browser: measured by a click, read by colour-free marks, clicked on."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from ortlab.lab import Lab
from tests.browser.conftest import Server, settle
from tests.conftest import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TRACE = ROOT / "tests" / "data" / "cpu_mlp_24runs.json"


def test_a_click_measures_the_machine_and_a_click_on_a_mark_selects_its_node(
    visitor: Page, server: Server
) -> None:
    trace = Lab.open(server.home).open_trace(TRACE)
    visitor.goto(f"{server.address}/profile?trace={trace}&view=roofline")
    settle(visitor)
    visitor.get_by_role("button", name=re.compile("Measure this machine")).click()
    expect(visitor.get_by_text("Worth optimizing")).to_be_visible()
    settle(visitor)
    marks = visitor.locator(".js-plotly-plot .scatterlayer .points path")
    expect(marks.first).to_be_visible()
    assert "node=" not in visitor.url
    marks.first.click(force=True)
    expect(visitor).to_have_url(re.compile(r"[?&]node=\d+"))
    expect(visitor.get_by_role("button", name="Clear", exact=True)).to_be_visible()
    # Measured once: the next visitor sees the nodes at once.
    visitor.goto(f"{server.address}/profile?trace={trace}&view=roofline")
    expect(visitor.get_by_text("Worth optimizing")).to_be_visible()
    expect(visitor.get_by_role("button", name=re.compile("Measure this machine"))).to_have_count(0)
