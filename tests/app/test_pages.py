"""Every page in its empty, filled and failed state, on what the real engine stored."""

from __future__ import annotations

import pytest

from ortlab.domain.finding import Finding
from ortlab.lab import Lab
from tests.app.conftest import HOSTILE, Filled, page, texts

PAGES = ("start", "results", "profile", "history", "machine")
VIEWS = ("operators", "icicle", "nodes", "timeline", "placement", "runs")


@pytest.mark.parametrize("name", PAGES)
def test_page_of_an_empty_home_says_what_to_do(name: str) -> None:
    app = page(name)
    assert app.title
    said = texts(app)
    expected = {
        "start": "Which setting runs this model fastest here?",
        "results": "No study chosen",
        "profile": "No profile chosen",
        "history": "Nothing measured yet",
        "machine": "Execution providers",
    }
    assert expected[name] in said


def test_results_of_a_study_lead_with_its_verdict_and_list_every_row(filled_home: Filled) -> None:
    app = page("results", run=filled_home.done)
    assert "per run" in texts(app) or "takes" in texts(app) or "runs this model" in texts(app)
    assert len(app.dataframe[0].value) == 2
    assert app.get("plotly_chart")
    assert [b.label for b in app.button if "time go" in b.label]


def test_results_show_the_reason_of_a_row_that_failed_beside_the_rows_that_worked(
    filled_home: Filled,
) -> None:
    app = page("results", run=filled_home.partly)
    assert any("NNAPI" in w.value for w in app.warning)
    assert app.get("plotly_chart")


def test_results_of_a_study_that_failed_whole_say_why_and_offer_to_measure_again(
    filled_home: Filled,
) -> None:
    app = page("results", run=filled_home.failed)
    said = texts(app)
    assert "No configuration could be measured" in said
    assert app.warning or app.error
    assert not app.get("plotly_chart")
    assert any(b.label == "Measure again" for b in app.button)


def test_results_of_an_unknown_study_are_an_error_with_a_sentence(filled_home: Filled) -> None:
    app = page("results", run="nosuchst")
    assert "nosuchst" in app.error[0].value


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_of_a_profile_opens_by_its_link_and_has_a_table(
    filled_home: Filled, view: str
) -> None:
    app = page("profile", run=filled_home.done, view=view)
    assert app.query_params["view"] == view
    # The timeline's table is a part of its picture, for which the browser fetches the events.
    assert app.dataframe or (view == "timeline" and app.get("bidi_component"))
    assert "Trust" in texts(app)
    if view not in ("nodes", "timeline"):
        assert app.get("plotly_chart")


@pytest.mark.parametrize("view", VIEWS)
def test_a_foreign_trace_opens_without_its_model(filled_home: Filled, view: str) -> None:
    app = page("profile", trace=filled_home.trace, view=view)
    assert "Where the time goes" in texts(app)
    assert app.dataframe or (view == "timeline" and app.get("bidi_component"))


def test_profile_of_a_study_without_one_explains_that_and_offers_it(filled_home: Filled) -> None:
    app = page("profile", run=filled_home.partly)
    assert "has no profile" in texts(app)
    assert any("profile it again" in b.label for b in app.button)


def test_history_lists_what_was_measured_and_finds_nothing_gracefully(filled_home: Filled) -> None:
    app = page("history")
    assert len(app.dataframe[0].value) == 3
    app.text_input(key="search").set_value("no such study").run()
    assert not app.exception
    assert "0 of 3 studies match" in texts(app)
    app.button(key="clear").click().run()
    assert len(app.dataframe[0].value) == 3


def test_start_with_a_model_offers_the_form_its_count_and_the_same_as_a_command(
    filled_home: Filled,
) -> None:
    app = page("start", model=filled_home.model)
    assert any(b.label == "Measure" for b in app.button)
    command = next(c.value for c in app.code if c.value.startswith("ortlab bench"))
    assert "--level" in command
    assert "4 settings" in texts(app)


def test_fewer_choices_in_the_form_make_fewer_settings(filled_home: Filled) -> None:
    app = page("start", model=filled_home.model)
    app.get_by_key("levels").set_value(["all"])
    app.get_by_key("variants").set_value(["fp32"]).run()
    assert not app.exception
    assert "1 setting**" in texts(app)


def test_nothing_ticked_asks_for_a_choice_instead_of_offering_to_measure(
    filled_home: Filled,
) -> None:
    app = page("start", model=filled_home.model)
    app.get_by_key("levels").set_value([]).run()
    assert not app.exception
    assert not any(b.label == "Measure" for b in app.button)
    assert "Choose at least one" in texts(app)


def test_a_dimension_is_asked_by_its_name_and_goes_into_the_command(filled_home: Filled) -> None:
    app = page("start", model=filled_home.model)
    assert len(app.number_input) >= 1
    app.number_input(key="dim-0").set_value(7).run()
    command = next(c.value for c in app.code if c.value.startswith("ortlab bench"))
    assert "=7" in command


@pytest.mark.parametrize("name", ["start", "results", "profile", "history"])
def test_names_from_a_model_never_reach_markdown_as_markup(filled_home: Filled, name: str) -> None:
    query = {"start": {"model": filled_home.model}, "history": {}}.get(
        name, {"run": filled_home.done}
    )
    app = page(name, **query)
    for kind in ("title", "subheader", "markdown", "caption", "error", "warning", "info"):
        for element in getattr(app, kind):
            assert HOSTILE not in element.value
            assert "](http" not in element.value.replace("](https://github.com/", "")
            assert "<img" not in element.value


def test_machine_names_every_provider_and_why_it_cannot_be_used(filled_home: Filled) -> None:
    table = page("machine").dataframe[0].value
    assert "CPU" in set(table["label"])
    for _, row in table.iterrows():
        assert row["loadable"] or row["reason"]


def test_a_foreign_trace_calls_no_node_a_fallback_and_none_well_placed(
    filled_home: Filled,
) -> None:
    app = page("profile", trace=filled_home.trace, view="placement")
    assert "does not say which providers were asked for" in texts(app)
    assert not app.success
    assert not app.warning


def test_equal_failures_are_told_once_with_the_names_of_all_rows(filled_home: Filled) -> None:
    app = page("results", run=filled_home.partly)
    assert len({w.value for w in app.warning}) == len(app.warning)


def test_profile_tells_the_findings_of_its_own_setting_only(filled_home: Filled) -> None:
    app = page("profile", run=filled_home.done)
    assert "What stands out" in texts(app)
    row = app.query_params["cfg"]
    others = [f for f in lab_findings(filled_home) if f.configuration_id not in (row, None)]
    own = [f for f in lab_findings(filled_home) if f.configuration_id == row]
    shown = texts(app)
    assert all(f.title in shown for f in own)
    assert all(f.evidence not in shown for f in others)


def lab_findings(filled_home: Filled) -> list[Finding]:
    """The findings of the study that worked."""
    return Lab.open(filled_home.home).findings(filled_home.done)
