"""Operators, flame and nodes: shown for any profile, and one selection that lives in the link."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from streamlit.testing.v1 import AppTest

from ortlab.analysis.naming import module_blocks, modules
from ortlab.analysis.profiles import parts
from ortlab.charts import flame, operators
from ortlab.domain import units
from ortlab.domain.trace import NodeRow, OperatorRow, Profile, Run, ShapeRow
from ortlab.lab import Lab
from tests.app.conftest import HOSTILE, Filled, page, texts

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
LONG = "/very/" + "long" * 200 + "/MatMul"


def made(names: list[str], *, launch: bool = False) -> Profile:
    """A profile of nodes with these names; `launch` makes their times launch times."""
    kind: dict[str, Any] = {"time_kind": "launch", "doubt": "launch"} if launch else {}
    provider = CUDA if launch else CPU
    nodes = tuple(
        NodeRow(name=name, op_type="Mat\"<b>Mul'", provider=provider, calls=3, total_us=30 + i,
                self_us=30 + i, p50_us=10.0, p25_us=9.0, p75_us=11.0, run_count=3, order=i,
                input_shapes="float[1,2]", share=None if launch else 1 / len(names), **kind)
        for i, name in enumerate(names)
    )  # fmt: skip
    total = sum(n.self_us for n in nodes)
    row = {"op_type": "Mat\"<b>Mul'", "provider": provider, "calls": 3 * len(nodes),
           "total_us": total, "self_us": total, "share": None if launch else 1.0,
           "node_count": len(nodes)}  # fmt: skip
    shape = {"input_shapes": "float[1,2]", "output_shapes": "", "mean_us": 10.0, "p50_us": 10.0}
    return Profile(
        source="test", nodes=nodes, node_event_count=len(nodes), counted_runs=3,
        runs=(Run(index=0, start_us=0, duration_us=total, node_count=len(nodes), warmup=False),),
        operators=(OperatorRow(**row, **kind),) if nodes else (),
        shapes=(ShapeRow(**row, **shape),) if nodes else (),
    )  # fmt: skip


PROFILES = {
    "empty": made([]),
    "one node": made(["/a/b/MatMul"]),
    "no modules": made(["MatMul_0", "MatMul_1"]),
    "hostile": made([HOSTILE, f"/{HOSTILE}/a/{HOSTILE}", LONG, "", '"; drop', "=1+1", "/a/=2"]),
    "launches": made(["/a/Conv", "/b/Conv"], launch=True),
    "many": made([f"/e/layer.{i % 60}/part.{i % 7}/Op_{i}" for i in range(1200)]),
}


def view(name: str, profile: Profile, **query: str) -> AppTest:
    """One view of a profile, run to its end without the page around it."""

    def script(module: str, content: bytes) -> None:
        import importlib

        import msgspec

        from ortlab.domain.trace import Profile
        from ortlab.ui import selection

        profile = msgspec.json.decode(content, type=Profile)
        selection.strip(profile)
        importlib.import_module(f"ortlab.ui.{module}").show(profile)

    app = AppTest.from_function(script, default_timeout=60,
                                args=(name, msgspec.json.encode(profile)))  # fmt: skip
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


@pytest.mark.parametrize("shown", PROFILES)
@pytest.mark.parametrize(
    ("name", "query"),
    [("operators_view", {"by": by}) for by in ("op", "shape", "provider", "module")]
    + [("flame_view", {}), ("flame_view", {"scope": "a"}), ("nodes_view", {"node": "0"})],
)
def test_every_view_shows_every_profile_and_no_name_as_markup(
    shown: str, name: str, query: dict[str, str]
) -> None:
    app = view(name, PROFILES[shown], **query)
    assert app.get("plotly_chart") or app.dataframe or app.info or app.caption
    for kind in ("markdown", "caption", "info"):
        for element in getattr(app, kind):
            assert not re.search(r"(?<!\\)<img|(?<!\\)\]\(http", element.value)


@pytest.mark.parametrize("name", ["operators_view", "flame_view", "nodes_view"])
def test_no_share_is_claimed_from_launch_times_and_the_page_says_why(name: str) -> None:
    app = view(name, PROFILES["launches"])
    assert "before the work is done" in texts(app)
    assert "%" not in texts(app)
    for table in app.dataframe:
        if "share" in table.value:
            assert table.value["share"].isna().all()


def test_a_launch_is_grey_in_the_chart_and_called_that() -> None:
    figure = operators.bars(PROFILES["launches"])
    assert figure.data[0].marker.color == operators.DOUBT_COLOR
    assert figure.layout.annotations[0].text == "launch"


def test_nodes_send_at_most_three_hundred_rows_and_say_how_many_there_are() -> None:
    app = view("nodes_view", PROFILES["many"])
    assert len(app.dataframe[0].value) == 300
    assert "300 of 1,200 rows shown" in texts(app)


def test_nodes_are_searched_on_the_server_in_names_operators_and_modules() -> None:
    app = view("nodes_view", PROFILES["many"])
    app.text_input[0].set_value("LAYER.7/").run()
    wanted = [n for n in PROFILES["many"].nodes if "/layer.7/" in n.name]
    assert len(app.dataframe[0].value) == len(wanted)
    app.text_input[0].set_value("no such node").run()
    assert "0 of 1,200 nodes match" in texts(app)
    app.button(key="nodes-clear").click().run()
    assert len(app.dataframe[0].value) == 300


def test_a_module_in_the_link_leaves_its_nodes_only() -> None:
    app = view("nodes_view", PROFILES["many"], scope="e/layer.7")
    assert set(app.dataframe[0].value["module"].str.startswith("e/layer.7/")) == {True}
    assert "only in e/layer.7" in texts(app)


def test_the_flame_says_which_part_of_which_layers_takes_most() -> None:
    said = texts(view("flame_view", PROFILES["many"]))
    assert "the 60 layers **e/layer** together **100.0" in said


def test_a_profile_without_modules_says_that_the_blocks_are_operators() -> None:
    assert "so the blocks are provider, operator and node" in texts(
        view("flame_view", PROFILES["no modules"])
    )


def test_an_unknown_module_in_the_link_shows_the_whole_model() -> None:
    said = texts(view("flame_view", PROFILES["one node"], scope="nosuch/module"))
    assert "has no such module" in said


def test_the_flame_of_a_large_model_stays_below_what_may_be_sent() -> None:
    shown = PROFILES["many"]
    tree = modules.tree(shown)
    blocks = module_blocks.blocks(tree, shown, tree.root)
    figure = flame.flame(blocks, runs=3)
    assert len(blocks) <= module_blocks.MAX_BLOCKS
    assert len(figure.to_json()) < 100_000


def test_launch_times_are_grey_blocks_that_tell_no_share() -> None:
    figure = flame.of_profile(PROFILES["launches"])
    assert set(figure.data[0].marker.color) & {flame.DOUBT_COLOR}
    assert "%" not in "".join((*figure.data[0].text, *figure.data[0].hovertext))
    assert "launch time, not the work" in figure.data[0].hovertext[0]


def test_a_module_is_in_doubt_when_most_of_its_time_is() -> None:
    rows = [("/a/b/Add", "profiler", 60), ("/a/b/Mul", None, 40), ("/a/c/Add", None, 300)]
    nodes = tuple(
        NodeRow(name=name, op_type="Add", provider=CPU, calls=1, total_us=us, self_us=us,
                p50_us=1.0, order=i, doubt=doubt)
        for i, (name, doubt, us) in enumerate(rows)
    )  # fmt: skip
    shown = Profile(source="test", nodes=nodes)
    tree = modules.tree(shown)
    doubts = {
        "/".join(b.path): b.doubt
        for b in module_blocks.blocks(tree, shown, tree.root)
        if b.kind == "module"
    }
    assert doubts == {"": None, "a": None, "a/b": "profiler", "a/c": None}


def test_the_chosen_node_is_outlined_in_the_flame() -> None:
    shown = PROFILES["one node"]
    tree = modules.tree(shown)
    blocks = module_blocks.blocks(tree, shown, tree.root)
    chosen = module_blocks.holding(blocks, tree, 0)
    widths = flame.flame(blocks, runs=3, selected=chosen).data[0].marker.line.width
    assert [b.node for b, width in zip(blocks, widths, strict=True) if width] == [0]


def test_a_node_too_small_to_be_drawn_is_found_in_the_block_that_holds_it() -> None:
    shown = made(["/a/b/Big", *(f"/a/b/Small_{i}" for i in range(9))])
    rows = [msgspec.structs.replace(n, self_us=1 if n.order else 10_000) for n in shown.nodes]
    shown = msgspec.structs.replace(shown, nodes=tuple(rows))
    tree = modules.tree(shown)
    blocks = module_blocks.blocks(tree, shown, tree.root)
    at = module_blocks.holding(blocks, tree, 5)
    assert at is not None
    assert (blocks[at].kind, blocks[at].path) == ("rest", ("a", "b"))
    assert module_blocks.holding(blocks, tree, 99) is None
    assert module_blocks.holding(blocks, tree, None) is None


@pytest.mark.parametrize("shown", PROFILES)
def test_operator_bars_hold_all_time_and_can_be_told_apart(shown: str) -> None:
    profile = PROFILES[shown]
    found = parts.by_shape(profile)
    figure = operators.of_parts(found, runs=3)
    drawn = [y for trace in figure.data for y in trace.y]
    assert len(drawn) == len(set(drawn)) == len(found)
    total_us = sum(n.self_us for n in profile.nodes) / 3
    assert sum(sum(t.x) for t in figure.data) == pytest.approx(
        total_us / units.time_unit([total_us])[0]
    )


def test_the_selected_node_of_a_link_is_told_in_one_line_and_can_be_cleared(
    filled_home: Filled,
) -> None:
    record = Lab.open().trace(filled_home.trace, steady=True).record
    chosen = record.nodes[2]
    app = page("profile", trace=filled_home.trace, view="nodes", node=str(chosen.order))
    assert f"**{chosen.name}**" in texts(app)
    app.button(key="selection-clear").click().run()
    assert "node" not in app.query_params
    assert f"**{chosen.name}**" not in texts(app)


def test_the_selection_goes_along_to_another_view(filled_home: Filled) -> None:
    app = page("profile", trace=filled_home.trace, view="operators", node="0")
    app.button(key="selection-nodes").click().run()
    assert app.query_params["view"] == "nodes"
    assert app.query_params["node"] == "0"
    assert app.dataframe


def test_a_selected_operator_leaves_its_nodes(filled_home: Filled) -> None:
    app = page("profile", trace=filled_home.trace, view="nodes", op=f"Relu@{CPU}")
    assert set(app.dataframe[0].value["op_type"]) == {"Relu"}


@pytest.mark.parametrize("node", ["99999", "-1", "x", "1" * 40, "²"])
def test_a_link_to_a_node_that_is_not_there_is_no_error(filled_home: Filled, node: str) -> None:
    page("profile", trace=filled_home.trace, view="nodes", node=node)


def test_another_setting_drops_the_node_for_its_number_is_another_node_there(
    filled_home: Filled,
) -> None:
    app = page("profile", run=filled_home.done, view="nodes", node="1")
    before = app.query_params["cfg"]
    setting = next(box for box in app.selectbox if box.label == "Setting")
    setting.select_index(1 - setting.index).run()
    assert app.query_params["cfg"] != before
    assert "node" not in app.query_params
