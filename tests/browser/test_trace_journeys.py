"""Back and forward through the views of a trace, as with any other page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ortlab.lab import Lab
from tests.browser.conftest import Server, settle
from tests.conftest import ROOT

pytestmark = pytest.mark.browser
TRACE = ROOT / "sample_models" / "traces" / "digits_cnn_cpu.json"


def _chosen(page: Page, name: str) -> None:
    radio = page.get_by_role("radio", name=name, exact=True)
    expect(radio).to_be_checked(timeout=20_000)


def test_back_leads_through_the_views_and_out_of_the_page(visitor: Page, server: Server) -> None:
    trace = Lab.open(server.home).open_trace(Path(TRACE))
    visitor.goto(f"{server.address}/machine")
    settle(visitor)
    visitor.goto(f"{server.address}/profile?trace={trace}")
    settle(visitor)
    for name, view in (("Nodes", "nodes"), ("Runs", "runs")):
        visitor.get_by_role("radio", name=name, exact=True).click(force=True)
        visitor.wait_for_url(re.compile(f"view={view}"))
        settle(visitor)
    visitor.go_back()
    _chosen(visitor, "Nodes")
    visitor.go_back()
    _chosen(visitor, "Operators")
    visitor.go_forward()
    _chosen(visitor, "Nodes")
    visitor.go_back()
    _chosen(visitor, "Operators")
    visitor.go_back()
    visitor.wait_for_url(re.compile("/machine"), timeout=20_000)
