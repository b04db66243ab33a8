"""The command shown beside every form asks the same question when it is run."""

from __future__ import annotations

import shlex

import typer
from hypothesis import given
from hypothesis import strategies as st

from ortlab.cli import options
from ortlab.cli.main import app
from ortlab.domain.ask import Ask
from ortlab.domain.study import StopRule
from ortlab.measure.plan import command_line

TEXTS = ["cpu", "cuda:device_id=0;use_tf32=0", "tensorrt,cuda", 'openvino:load_config={"CPU":{}}']

asks = st.builds(
    Ask,
    providers=st.lists(st.sampled_from(TEXTS), min_size=1, unique=True).map(tuple),
    levels=st.lists(st.sampled_from(["disabled", "basic", "all"]), min_size=1).map(tuple),
    variants=st.lists(st.sampled_from(["fp32", "dynamic-int8"]), min_size=1).map(tuple),
    threads=st.lists(st.integers(0, 64), min_size=1, max_size=3).map(tuple),
    inter_op_threads=st.integers(1, 4),
    execution_mode=st.sampled_from(["sequential", "parallel"]),
    memory_pattern=st.booleans(),
    arena=st.booleans(),
    spinning=st.booleans(),
    io_binding=st.booleans(),
    dims=st.dictionaries(st.sampled_from(["N", "odd name", "it's", "a=b"]), st.integers(1, 999)),
    batch=st.none() | st.integers(1, 64),
    session_config=st.just({}) | st.just({"session.dynamic_block_base": "4"}),
    baseline=st.none() | st.just("1"),
    stop=st.builds(
        StopRule,
        seconds=st.none() | st.integers(1, 600).map(float),
        runs=st.none() | st.integers(1, 10_000),
        precision=st.none() | st.sampled_from([0.005, 0.01, 0.05]),
        warmup=st.none() | st.integers(0, 100),
    ),
    seed=st.integers(0, 1000),
    profile=st.booleans(),
    title=st.just("") | st.just("a title; with $signs"),
)


@given(asks)
def test_the_command_line_asks_the_same_question(ask: Ask) -> None:
    program, command, *words = shlex.split(command_line(ask, "model.onnx"))
    assert (program, command) == ("ortlab", "bench")
    bench = typer.main.get_command(app).commands["bench"]
    context = bench.make_context("bench", words)
    read = options.ask(context.params)
    assert read == ask
