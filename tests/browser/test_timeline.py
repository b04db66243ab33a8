"""The timeline in a real browser: zooming, pointing, selecting, with and without a mouse."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from ortlab.lab import Lab
from tests.app.conftest import HOSTILE
from tests.browser.conftest import Server, settle
from tests.browser.test_server import ask
from tests.conftest import ROOT
from tests.trace_text import node, session, text

pytestmark = pytest.mark.browser
DATA = ROOT / "tests" / "data"


def opened(page: Page, server: Server, path: Path, *, view: str = "timeline", **query: int) -> str:
    """The id of a trace that the page shows now."""
    trace = Lab.open(server.home).open_trace(path)
    more = "".join(f"&{key}={value}" for key, value in query.items())
    page.goto(f"{server.address}/profile?trace={trace}&view={view}{more}")
    expect(page.locator(".timeline .status").first).to_contain_text("in view")
    settle(page)
    return trace


def drag(page: Page, canvas: Locator, begin: float, end: float) -> None:
    """Drag over a part of the picture, given as shares of its width."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + begin * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + (begin + end) / 2 * box["width"], y)
    page.mouse.move(box["x"] + end * box["width"], y)
    page.mouse.up()


def width_us(page: Page) -> float:
    """How long the span in view is, as the page says."""
    said = page.locator(".timeline .status").first.inner_text()
    found = re.match(r"([\d.,]+)\s(µs|ms|s) in view", said)
    assert found is not None, said
    return float(found[1].replace(",", "")) * {"µs": 1, "ms": 1e3, "s": 1e6}[found[2]]


def test_dragging_zooms_in_and_escape_goes_back(visitor: Page, server: Server) -> None:
    opened(visitor, server, DATA / "cpu_control_flow.json")
    status = visitor.locator(".timeline .status")
    expect(status).to_contain_text("17 events")
    whole = width_us(visitor)
    drag(visitor, visitor.locator(".timeline canvas"), 0.75, 0.95)
    expect(status).not_to_contain_text("17 events")
    assert width_us(visitor) < whole / 3
    part = status.inner_text()
    drag(visitor, visitor.locator(".timeline canvas"), 0.3, 0.6)
    expect(visitor.get_by_role("button", name="Back", exact=True)).to_be_enabled()
    visitor.keyboard.press("Escape")
    expect(status).to_have_text(part)
    visitor.get_by_role("button", name="Back", exact=True).click()
    expect(status).to_contain_text("17 events")
    visitor.get_by_role("button", name="Whole trace").click()
    expect(status).to_contain_text("34 events")


def test_keys_zoom_and_move_without_a_mouse(visitor: Page, server: Server) -> None:
    opened(visitor, server, DATA / "cpu_control_flow.json")
    whole = width_us(visitor)
    visitor.locator(".timeline").focus()
    for key in ("w", "w", "d"):
        visitor.keyboard.press(key)
    expect(visitor.locator(".timeline .status")).to_contain_text(f"{whole / 4:.0f}\u2009µs in view")
    visitor.keyboard.press("0")
    expect(visitor.locator(".timeline .status")).to_contain_text("17 events")


def test_a_click_on_an_event_selects_its_node_and_a_second_one_unselects_it(
    visitor: Page, server: Server
) -> None:
    opened(visitor, server, DATA / "cpu_control_flow.json")
    box = visitor.locator(".timeline canvas").bounding_box()
    assert box is not None
    place = (box["x"] + box["width"] * 0.5, box["y"] + 60)
    visitor.mouse.click(*place)
    visitor.wait_for_url(re.compile(r"node=0"))
    expect(visitor.get_by_text("loop").first).to_be_visible()
    settle(visitor)
    box = visitor.locator(".timeline canvas").bounding_box()
    assert box is not None
    visitor.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + 60)
    visitor.wait_for_url(lambda url: "node=" not in url)


def test_the_table_lists_the_events_and_selects_too(visitor: Page, server: Server) -> None:
    opened(visitor, server, DATA / "cpu_control_flow.json")
    visitor.get_by_text("Events in view, as a table").click()
    rows = visitor.locator(".timeline tbody tr")
    expect(rows).to_have_count(17)
    expect(rows.first).to_contain_text("loop")
    visitor.locator(".timeline tbody").get_by_role("button", name="relu").click()
    visitor.wait_for_url(re.compile(r"node=\d+"))


def test_what_is_under_the_pointer_is_told(visitor: Page, server: Server) -> None:
    opened(visitor, server, DATA / "cpu_control_flow.json")
    box = visitor.locator(".timeline canvas").bounding_box()
    assert box is not None
    visitor.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60)
    tip = visitor.locator(".timeline .tip")
    expect(tip).to_contain_text("loop")
    expect(tip).to_contain_text("of it its own")


def test_hostile_names_stay_text_in_picture_table_and_tip(
    visitor: Page, server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.json"
    path.write_text(text([node(HOSTILE, 0, 90, op=HOSTILE), session("model_run", 0, 100)]))
    opened(visitor, server, path)
    visitor.get_by_text("Events in view, as a table").click()
    expect(visitor.locator(".timeline tbody")).to_contain_text("<img src=x>")
    expect(visitor.locator(".timeline img")).to_have_count(0)
    expect(visitor.locator(".timeline a")).to_have_count(0)


def test_an_outlier_is_drawn_above_the_median_run_on_one_scale(
    visitor: Page, server: Server
) -> None:
    opened(visitor, server, DATA / "cpu_mlp_24runs.json", view="runs", at=0)
    panes = visitor.locator(".timeline .pane")
    expect(panes).to_have_count(2)
    expect(panes.first).to_contain_text("Run 0")
    drag(visitor, visitor.locator(".timeline canvas").nth(1), 0.4, 0.6)
    expect(visitor.get_by_role("button", name="Back", exact=True)).to_be_enabled()


def test_the_devices_own_clock_has_a_timeline_of_its_own(
    visitor: Page, server: Server, shared_folder: Path
) -> None:
    opened(visitor, server, shared_folder / "traces/own/webgpu127_swiftshader_t.json")
    expect(visitor.locator(".timeline")).to_have_count(2)
    expect(visitor.get_by_text("cannot be laid over the threads above")).to_be_visible()


@pytest.mark.parametrize("width", [800, 1280])
def test_the_timeline_fits_the_window(visitor: Page, server: Server, width: int) -> None:
    visitor.set_viewport_size({"width": width, "height": 900})
    opened(visitor, server, DATA / "cpu_concurrent_runs.json")
    box = visitor.locator(".timeline").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width


def test_the_route_answers_windows_and_refuses_the_rest(server: Server) -> None:
    trace = Lab.open(server.home).open_trace(DATA / "cpu_control_flow.json")
    good = f"/api/timeline?source={trace}&from=0&to=100000"
    found = ask(server, good)
    assert found.status == 200
    assert json.loads(found.body)["event_count"] == 34
    assert ask(server, good, host="evil.example").status == 421
    for path, status in (
        ("/api/timeline", 400),
        (f"/api/timeline?source={trace}&from=0&to=zero", 400),
        (f"/api/timeline?source={trace}&from=9&to=9", 400),
        ("/api/timeline?source=nosuch&from=0&to=9", 404),
        (f"/api/timeline?source={trace}&cfg=nosuch&from=0&to=9", 404),
    ):
        refused = ask(server, path)
        assert refused.status == status
        assert json.loads(refused.body)["error"]["message"]
