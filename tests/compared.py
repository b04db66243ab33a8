"""Profiles made of nodes that take so long, to be held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from ortlab.domain.trace import NodeRow, Profile, ProviderRow, Run, Trust

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
RUNS = 20


def node(name: str, op: str = "MatMul", us: float = 100.0, **fields: Any) -> NodeRow:
    """A node that takes so long in every run, give or take two percent."""
    runs = fields.pop("runs", RUNS)
    values: dict[str, Any] = {
        "name": name, "op_type": op, "provider": CPU, "calls": runs, "total_us": round(us * runs),
        "self_us": round(us * runs), "p50_us": us, "self_p50_us": us, "run_count": runs,
        "min_us": us * 0.97, "p25_us": us * 0.99, "p75_us": us * 1.01, "max_us": us * 1.1,
        "ci95_us": (us * 0.98, us * 1.02) if runs >= 6 else None,
        "input_shapes": "float[1,8]", "output_shapes": "float[1,8]",
    }  # fmt: skip
    return NodeRow(**{**values, **fields})


def profile(*nodes: NodeRow, durations: Sequence[int] = (1000,) * RUNS, **fields: Any) -> Profile:
    """A steady profile whose nodes were executed in this order."""
    ordered = [
        NodeRow(**{f: getattr(n, f) for f in n.__struct_fields__ if f != "order"}, order=i)
        for i, n in enumerate(nodes)
    ]
    runs = tuple(
        Run(index=i, start_us=i * 10_000, duration_us=us, node_count=len(nodes), warmup=False)
        for i, us in enumerate(durations)
    )
    names = dict.fromkeys(n.provider for n in nodes)
    values: dict[str, Any] = {
        "source": "a test", "runs": runs, "counted_runs": len(runs), "nodes": tuple(ordered),
        "node_count": len(ordered), "steady_only": True, "trust": Trust("A"),
        "providers": tuple(
            ProviderRow(provider=p, node_count=1, total_us=1, share=None) for p in names
        ),
    }  # fmt: skip
    return Profile(**{**values, **fields})


TEXTS = st.sampled_from(["a", "b", "/l.0/x", "/l.0/x_token_3", "Conv_1", "", "=1+1", "a/b/c"])
NODES = st.lists(
    st.builds(
        node,
        TEXTS,
        st.sampled_from(["Conv", "QLinearConv", "Relu", "Memcpy", "Loop", "P_123456789_0"]),
        st.floats(0, 1e7),
        scope=st.sampled_from(["", "loop", "loop/x"]),
        provider=st.sampled_from([CPU, CUDA]),
        runs=st.integers(1, RUNS),
        output_shapes=st.sampled_from(["", "float[1,2]", "float[2,1] int64[]"]),
        node_index=st.none() | st.integers(0, 3),
        device_us=st.none() | st.integers(0, 1000),
    ),
    max_size=12,
)
PROFILES = st.builds(
    lambda nodes, durations, providers: profile(
        *nodes, durations=durations, async_providers=providers
    ),
    NODES,
    st.lists(st.integers(0, 10**6), max_size=RUNS),
    st.sampled_from([(), (CUDA,)]),
)
"""Profiles with equal, decorated, missing and hostile names, and times of any size."""
