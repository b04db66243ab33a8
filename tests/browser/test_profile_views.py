"""Clicks in the real browser: a block, a bar and a row select the same thing, in every view."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from ortlab.lab import Lab
from tests.browser.conftest import Server, settle
from tests.conftest import ROOT

TRACE = ROOT / "sample_models" / "traces" / "digits_cnn_cpu.json"


@pytest.fixture(scope="module")
def trace(server: Server) -> str:
    """The id of a recorded profile with modules, opened in the server's home."""
    return Lab.open(server.home).open_trace(Path(TRACE))


def at(server: Server, trace: str, **query: str) -> str:
    """The address of one view of that profile."""
    rest = "".join(f"&{key}={value}" for key, value in query.items())
    return f"{server.address}/profile?trace={trace}{rest}"


def bars(page: Page) -> Locator:
    """The marks of the chart, once they are drawn; Plotly takes their clicks in a layer above."""
    found = page.locator("[data-testid=stMain] .bars .point path")
    expect(found.first).to_be_visible()
    settle(page)
    return found


def test_a_click_on_a_block_looks_into_it_and_the_way_leads_back(
    visitor: Page, server: Server, trace: str
) -> None:
    visitor.goto(at(server, trace, view="icicle"))
    blocks = bars(visitor)
    before = blocks.count()
    # Modules come in the order of execution; the widest block of the second row is one of them.
    widths = [box["width"] if (box := blocks.nth(i).bounding_box()) else 0 for i in range(before)]
    blocks.nth(max(range(1, before), key=widths.__getitem__)).click(force=True)
    visitor.wait_for_url(re.compile(r"scope="))
    way = visitor.locator(".st-key-module-path")
    expect(way.get_by_role("button", name="Model")).to_be_visible()
    way.get_by_role("button", name="Model").click()
    expect(visitor.locator("[data-testid=stMain] .bars .point path")).to_have_count(before)
    assert "scope=" not in visitor.url


def test_a_click_on_a_bar_selects_its_operator_and_nodes_shows_only_those(
    visitor: Page, server: Server, trace: str
) -> None:
    visitor.goto(at(server, trace, view="operators"))
    bars(visitor).first.click(force=True)
    visitor.wait_for_url(re.compile(r"op="))
    strip = visitor.locator(".st-key-selection-strip")
    expect(strip).to_contain_text("of node time")
    strip.get_by_role("button", name="Nodes").click()
    visitor.wait_for_url(re.compile(r"view=nodes"))
    expect(visitor.get_by_text(re.compile(r"\d+ of 16 nodes, only"))).to_be_visible()
    visitor.locator(".st-key-selection-strip").get_by_role("button", name="Clear").click()
    expect(visitor.get_by_text(re.compile(r"^16 nodes"))).to_be_visible()
    assert "op=" not in visitor.url


def test_a_click_on_a_row_selects_its_node_and_a_new_visit_of_the_link_shows_it(
    visitor: Page, server: Server, trace: str
) -> None:
    visitor.goto(at(server, trace, view="nodes"))
    table = visitor.locator("[data-testid=stMain] [data-testid=stDataFrame]").first
    expect(table).to_be_visible()
    settle(visitor)
    # The box that marks a row is the first cell; the header above it is as high as a row.
    table.click(position={"x": 16, "y": 52})
    visitor.wait_for_url(re.compile(r"node=\d+"))
    said = visitor.locator(".st-key-selection-strip").inner_text()
    link = visitor.url.replace("view=nodes", "view=icicle")
    visitor.goto(link)
    expect(visitor.locator(".st-key-selection-strip")).to_contain_text(said.split(" · ")[0])
    outlined = [
        width
        for width in bars(visitor).evaluate_all(
            "marks => marks.map(m => parseFloat(getComputedStyle(m).strokeWidth))"
        )
        if width > 1
    ]
    assert len(outlined) == 1
