"""What people do, in a real browser against a real server and the real engine."""

from __future__ import annotations

import re
from pathlib import Path

import onnx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests import build
from tests.app.conftest import HOSTILE, hostile_mlp
from tests.browser.conftest import Server, drop, settle, watch
from tests.conftest import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]
TRACE = ROOT / "tests" / "data" / "cpu_mlp_24runs.json"


def saved(model: onnx.ModelProto, path: Path) -> Path:
    """The model as a file."""
    onnx.save(model, path)
    return path


def begin(page: Page, server: Server, model: Path, *, effort: str = "Quick look") -> None:
    """From the first page to a measurement that runs."""
    page.goto(server.address)
    drop(page, model)
    expect(page.get_by_role("button", name="Measure")).to_be_visible()
    page.get_by_text(effort, exact=True).click()
    settle(page)
    page.get_by_role("button", name="Measure").click()
    page.wait_for_url(re.compile(r"/results\?run="))


def test_newcomer_drops_a_model_measures_it_and_sees_where_the_time_goes(
    visitor: Page, server: Server, tmp_path: Path
) -> None:
    visitor.goto(server.address)
    expect(visitor.get_by_role("heading", name="Which setting runs this model")).to_be_visible()
    begin(visitor, server, saved(build.mlp(width=64), tmp_path / "mine.onnx"))
    where = visitor.get_by_role("button", name="Where does the time go?")
    expect(where).to_be_visible()
    expect(visitor.get_by_role("button", name="Cancel")).to_have_count(0)
    expect(visitor.locator(".js-plotly-plot").first).to_be_visible()
    where.click()
    visitor.wait_for_url(re.compile(r"/profile\?"))
    expect(visitor.get_by_text("Trust")).to_be_visible()
    expect(visitor.locator(".js-plotly-plot").first).to_contain_text("MatMul")
    views = visitor.get_by_role("radiogroup", name="View").or_(
        visitor.get_by_role("group", name="View")
    )
    for title in ("Flame", "Timeline", "Runs", "Memory", "Threads", "Placement", "Nodes"):
        views.first.get_by_text(title, exact=True).click()
        visitor.wait_for_url(re.compile("view=icicle|view=" + title.lower()))
        settle(visitor)
        expect(visitor.locator("[data-testid=stException]")).to_have_count(0)


def test_sample_model_is_measured_by_two_clicks_and_a_key(visitor: Page, server: Server) -> None:
    visitor.goto(server.address)
    visitor.get_by_role("button", name="Try the sample model").click()
    expect(visitor.get_by_role("button", name="Measure")).to_be_visible()
    settle(visitor)
    visitor.keyboard.press("Control+Enter")
    visitor.wait_for_url(re.compile(r"/results\?run="))
    visitor.get_by_role("button", name="Cancel").click()


def test_reload_and_second_tab_show_the_measurement_that_goes_on(
    visitor: Page, context: BrowserContext, server: Server, tmp_path: Path
) -> None:
    begin(visitor, server, saved(build.mlp(width=96), tmp_path / "again.onnx"))
    address = visitor.url
    visitor.reload()
    expect(visitor.get_by_text("again.onnx").first).to_be_visible()
    second = watch(context.new_page(), server)
    second.page.goto(address)
    for page in (visitor, second.page):
        expect(page.get_by_role("button", name="Where does the time go?")).to_be_visible()
        expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    assert second.errors == []
    assert second.outside == []


def test_cancel_ends_the_measurement_and_says_so(
    visitor: Page, server: Server, tmp_path: Path
) -> None:
    model = saved(build.mlp(width=512, layers=4), tmp_path / "long.onnx")
    begin(visitor, server, model, effort="Thorough")
    visitor.get_by_role("button", name="Cancel").click()
    expect(visitor.get_by_text("This study was cancelled")).to_be_visible()
    expect(visitor.get_by_role("button", name="Measure again")).to_be_visible()


def test_page_that_is_no_model_gets_a_sentence_and_the_next_file_is_taken(
    visitor: Page, server: Server, tmp_path: Path
) -> None:
    broken = tmp_path / "model.onnx"
    broken.write_text("<!DOCTYPE html><html><body>404: Not Found</body></html>")
    visitor.goto(server.address)
    drop(visitor, broken)
    expect(visitor.get_by_text("This file cannot be used")).to_be_visible()
    expect(visitor.locator("[data-testid=stAlert]").first).to_contain_text("HTML")
    settle(visitor)
    drop(visitor, saved(build.mlp(), tmp_path / "good.onnx"))
    expect(visitor.get_by_role("heading", name="good.onnx")).to_be_visible()
    expect(visitor.get_by_text("This file cannot be used")).to_have_count(0)


def test_cut_off_trace_opens_and_says_that_it_was_cut(
    visitor: Page, server: Server, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.json"
    cut.write_bytes(TRACE.read_bytes()[: TRACE.stat().st_size * 6 // 10])
    visitor.goto(server.address)
    drop(visitor, cut)
    visitor.wait_for_url(re.compile(r"/profile\?trace="))
    expect(visitor.get_by_text("cut off").first).to_be_visible()
    expect(visitor.locator(".js-plotly-plot").first).to_contain_text("MatMul")


def test_hostile_names_are_shown_as_text_and_fetch_nothing(
    visitor: Page, server: Server, tmp_path: Path
) -> None:
    visitor.goto(server.address)
    drop(visitor, saved(hostile_mlp(), tmp_path / f"{HOSTILE.replace('/', '_')}.onnx"))
    expect(visitor.get_by_role("button", name="Measure")).to_be_visible()
    settle(visitor)
    expect(visitor.locator("main img")).to_have_count(0)
    expect(visitor.locator("main a[href*=evil]")).to_have_count(0)
    expect(visitor.get_by_text("![x](http").first).to_be_visible()


def test_deep_links_of_every_page_open_by_themselves(visitor: Page, server: Server) -> None:
    for name in ("results", "profile", "history", "machine"):
        visitor.goto(f"{server.address}/{name}")
        expect(visitor.locator("h1").first).to_be_visible()
        settle(visitor)
        assert visitor.title() == f"{name.capitalize()} · ortlab"
