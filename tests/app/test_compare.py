"""The Compare view: a link opens it, the answer comes first, foreign names stay text."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from ortlab.lab import Lab
from tests.app.conftest import HOSTILE, Filled, page, texts
from tests.conftest import ROOT


@pytest.fixture
def other(filled_home: Filled) -> str:
    """The id of a second opened trace."""
    return Lab.open(filled_home.home).open_trace(
        ROOT / "tests" / "data" / "cpu_parallel_executor.json"
    )


def asked(app: AppTest, key: str) -> str:
    """What the address says."""
    value = app.query_params[key]
    return value[0] if isinstance(value, list) else value


def charts(app: AppTest) -> int:
    return len(app.get("plotly_chart"))


def test_a_link_shows_the_answer_with_its_doubts(filled_home: Filled, other: str) -> None:
    app = page("profile", trace=filled_home.trace, view="compare", **{"with": other})
    said = texts(app)
    assert "A run of 'cpu_parallel_executor.json' takes" in said
    assert "A profile does not name its machine" in said
    assert charts(app) == 2
    assert len(app.dataframe) >= 2


def test_without_another_recording_it_says_what_to_do(filled_home: Filled) -> None:
    app = page("profile", trace=filled_home.trace, view="compare")
    assert "Pick another recording" in texts(app)
    assert charts(app) == 0


def test_the_other_settings_of_a_study_are_offered_first(filled_home: Filled) -> None:
    rows = Lab.open(filled_home.home).study(filled_home.done).record.configurations
    app = page("profile", run=filled_home.done, cfg=rows[0].id, view="compare")
    picker = next(box for box in app.selectbox if box.label == "Compare with")
    assert picker.options[0].startswith("This study")
    picker.select(picker.options[0]).run()
    assert not app.exception
    assert asked(app, "with") == f"{filled_home.done}/{rows[1].id}"
    assert "A run of" in texts(app)


def test_swapping_looks_from_the_other_side(filled_home: Filled, other: str) -> None:
    app = page("profile", trace=filled_home.trace, view="compare", **{"with": other})
    app.button(key="compare-swap").click().run()
    assert not app.exception
    assert asked(app, "trace") == other
    assert asked(app, "with") == filled_home.trace


def test_swapping_two_settings_moves_the_picker_of_the_page(filled_home: Filled) -> None:
    first, second = (
        row.id for row in Lab.open(filled_home.home).study(filled_home.done).record.configurations
    )
    run = filled_home.done
    app = page("profile", run=run, cfg=first, view="compare", **{"with": f"{run}/{second}"})
    app.button(key="compare-swap").click().run()
    assert asked(app, "cfg") == second
    assert asked(app, "with") == f"{run}/{first}"


@pytest.mark.parametrize("missing", ["nothere", "nothere/row", "a/b/c"])
def test_a_link_to_nothing_says_so(filled_home: Filled, missing: str) -> None:
    app = page("profile", trace=filled_home.trace, view="compare", **{"with": missing})
    assert app.error


def test_names_of_nodes_are_no_markup(filled_home: Filled) -> None:
    first, second = (
        row.id for row in Lab.open(filled_home.home).study(filled_home.done).record.configurations
    )
    run = filled_home.done
    app = page("profile", run=run, cfg=first, view="compare", **{"with": f"{run}/{second}"})
    for markdown in (*app.markdown, *app.caption):
        assert HOSTILE not in markdown.value


def test_a_selected_node_is_told_with_what_became_of_it(filled_home: Filled) -> None:
    first, second = (
        row.id for row in Lab.open(filled_home.home).study(filled_home.done).record.configurations
    )
    run, link = filled_home.done, {"with": f"{filled_home.done}/{second}", "node": "0"}
    app = page("profile", run=run, cfg=first, view="compare", **link)
    said = texts(app)
    assert "matched by" in said or "has no counterpart" in said
    app.button(key="compare-clear").click().run()
    assert not app.exception
    assert "node" not in app.query_params
