"""What this machine reaches at best: arithmetic, memory, and the cost of a node with no work.

Arithmetic is measured with matrix products in ONNX Runtime itself, so that a roof is what its
own kernels reach, not what the processor could do in theory. Every figure is the best of many
repeats: other work on the machine can only make one slower. How far the median lies behind is
told beside it.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ortlab.worker.protocol import Context, Message
from ortlab.worker.sessions import import_onnxruntime

# Small ones suit slow processors, large ones hide every overhead.
SIDES = (512, 1024, 2048)
# Larger matrices are not tried once a product takes longer than this.
LONGEST_PRODUCT_S = 0.4
PRODUCT_S = 0.6
MIN_REPEATS = 5
# Windows of streaming, in which all threads run at the same time: shorter than what a busy system
# gives to another program at a stretch, so that some are left alone.
WINDOWS = 40
WINDOW_S = 0.012
SLICE_BYTES = 4 << 20
# Two lengths of a chain: the difference leaves out what a run costs however few nodes it has.
CHAIN_NODES = (200, 1200)
CHAIN_RUNS = 60
CHAIN_WARM_UP = 10
PROFILED_RUNS = 30
_CPU = "CPUExecutionProvider"
_OPSET = 17
_IR_VERSION = 8

Pass = Callable[[], Any]


def peaks(request: Message, context: Context) -> Message:
    """Compute roofs by number type, memory roofs by level, and the cost of a node.

    Args:
        request: `threads`, and `levels`: [name, capacity in bytes or null, bytes to stream
            through], smallest first.
        context: the worker's.
    """
    threads = int(request["threads"])
    started = time.perf_counter()
    steps: list[tuple[str, Callable[[], Any]]] = [
        *((f"{kind} products", partial(_compute, kind, threads, context)) for kind in _PRODUCTS),
        *(
            (f"bandwidth of {level[0]}", partial(_memory, level, threads))
            for level in request["levels"]
        ),
        ("cost of a node", partial(_dispatch, threads, context)),
    ]
    found = []
    for i, (what, step) in enumerate(steps):
        context.phase(what)
        context.progress(done_share=i / len(steps), what=what)
        found.append(step())
    compute = dict(zip(_PRODUCTS, found, strict=False))
    return {
        "onnxruntime": import_onnxruntime().__version__,
        "compute": [roof for roof in compute.values() if isinstance(roof, dict)],
        "missing": {kind: why for kind, why in compute.items() if isinstance(why, str)},
        "memory": found[len(_PRODUCTS) : -1],
        **found[-1],
        "seconds": time.perf_counter() - started,
    }


# ---- arithmetic


_PRODUCTS: dict[str, tuple[str, str, str]] = {
    "fp32": ("MatMul", "float32", "float32"),
    "fp16": ("MatMul", "float16", "float16"),
    "int8": ("MatMulInteger", "uint8", "int8"),
}
"""Operator, type of the left side, type of the right side, which is a weight."""


def _compute(kind: str, threads: int, context: Context) -> dict[str, Any] | str:
    """The best of several sizes; a sentence where ONNX Runtime has no such kernel here."""
    best: dict[str, Any] | None = None
    for side in SIDES:
        try:
            session, feed = _product(kind, side, threads, context.folder)
        except Exception as error:  # ORT raises many kinds; each says that there is no such kernel
            return f"ONNX Runtime refuses such a product here: {str(error)[:200]}"
        if session is None:
            return "ONNX Runtime has no kernel for it on this processor; it converts to fp32."
        seconds = _repeated(partial(session.run, None, feed), at_least_s=PRODUCT_S)
        rate = 2 * side**3 / min(seconds)
        if best is None or rate > best["flop_per_s"]:
            best = {
                "kind": kind,
                "flop_per_s": rate,
                "spread_share": statistics.median(seconds) / min(seconds) - 1,
                "side": side,
                "repeats": len(seconds),
            }
        if min(seconds) > LONGEST_PRODUCT_S:
            break
    return best or "nothing was measured"


def _product(kind: str, side: int, threads: int, folder: Path) -> tuple[Any, dict[str, Any]]:
    """A session of one product and its input; None for a session that converts types first."""
    import numpy as np
    from onnx import helper, numpy_helper

    op_type, left, right = _PRODUCTS[kind]
    random = np.random.default_rng(0)
    integer = op_type == "MatMulInteger"
    values = random.integers(1, 100, (side, side)) if integer else random.random((side, side))
    weight = numpy_helper.from_array(values.astype(right), "w")
    types = {name: helper.np_dtype_to_tensor_dtype(np.dtype(name)) for name in (left, "int32")}
    graph = helper.make_graph(
        [helper.make_node(op_type, ["x", "w"], ["y"], name="product")],
        "product",
        [helper.make_tensor_value_info("x", types[left], [side, side])],
        [helper.make_tensor_value_info("y", types["int32" if integer else left], [side, side])],
        [weight],
    )
    optimized = folder / "product.onnx"
    session = _session(graph, threads, optimized_model_filepath=str(optimized))
    written = optimized.read_bytes()
    optimized.unlink()
    feed = {"x": values.astype(left)}
    return (None if b"\x22\x04Cast" in written else session), feed


def _session(graph: Any, threads: int, **options: Any) -> Any:
    from onnx import helper

    ort = import_onnxruntime()
    chosen = ort.SessionOptions()
    chosen.intra_op_num_threads = threads
    # Errors only: writing an optimized graph comes with a warning.
    chosen.log_severity_level = 3
    for name, value in options.items():
        setattr(chosen, name, value)
    opsets = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
    return ort.InferenceSession(model.SerializeToString(), chosen, providers=[_CPU])


def _repeated(call: Pass, *, at_least_s: float) -> list[float]:
    """Seconds of each repeat, after one that warms up."""
    call()
    seconds: list[float] = []
    deadline = time.perf_counter() + at_least_s
    while len(seconds) < MIN_REPEATS or time.perf_counter() < deadline:
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
        if len(seconds) >= 2 and sum(seconds) > 5 * at_least_s:
            break
    return seconds


# ---- memory


def _memory(level: list[Any], threads: int) -> dict[str, Any]:
    """The faster of reading and copying, all threads at once on data of their own."""
    name, capacity, total = level
    best: dict[str, Any] | None = None
    for way in ("read", "copy"):
        rates = _streamed(way, bytes_each=int(total) // threads, threads=threads)
        if best is None or max(rates) > best["bytes_per_s"]:
            best = {
                "level": name,
                "capacity_bytes": capacity,
                "working_set_bytes": int(total),
                "way": way,
                "bytes_per_s": max(rates),
                "spread_share": max(rates) / statistics.median(rates) - 1,
            }
    return best or {}


def _streamed(way: str, *, bytes_each: int, threads: int) -> list[float]:
    """Bytes per second of all threads together, of each window."""
    starts: list[float] = []
    gate = threading.Barrier(threads, action=lambda: starts.append(time.perf_counter()))
    counts: list[list[float]] = [[] for _ in range(threads)]
    workers = [
        threading.Thread(target=_stream, args=(way, bytes_each, gate, starts, counts[i]))
        for i in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [sum(window) for window in zip(*counts, strict=True)]


def _stream(
    way: str, size: int, gate: threading.Barrier, starts: list[float], rates: list[float]
) -> None:
    """One thread's bytes per second in each window.

    The time counts from when all threads may go, so that one that comes late, and leaves the
    memory to the others meanwhile, does not make the sum larger than it ever was.
    """
    slices = _slices(way, size)
    for call, _ in slices:
        call()
    for _ in range(WINDOWS):
        gate.wait()
        moved, count, spent = 0, 0, 0.0
        while spent < WINDOW_S:
            call, each = slices[count % len(slices)]
            call()
            moved, count = moved + each, count + 1
            spent = time.perf_counter() - starts[-1]
        rates.append(moved / spent)


def _slices(way: str, size: int) -> list[tuple[Pass, int]]:
    """Calls that pass over so many bytes, all together or each again and again, and their bytes.

    They are long enough that calling costs nothing, and short enough that all threads end a
    window at almost the same time.
    """
    if size < SLICE_BYTES:
        return [_streaming(way, size, times=SLICE_BYTES // size)]
    count = size // SLICE_BYTES
    return [_streaming(way, size // count, times=1) for _ in range(count)]


def _streaming(way: str, size: int, *, times: int) -> tuple[Pass, int]:
    """One call that passes so often over so many bytes, and how many it moves in all."""
    import numpy as np

    if way == "read":
        # The largest of all: one comparison for each number, as wide as the processor is.
        source = _rows(np.float32(1), size // 4, times)
        return source.max, source.size * 4
    source, target = (_rows(np.float32(value), size // 8, times) for value in (1, 0))
    return partial(np.copyto, target, source), source.size * 8


def _rows(value: Any, count: int, times: int) -> Any:
    """The same numbers in so many rows, each shifted by a cache line, so that none is skipped."""
    import numpy as np

    line = 16
    numbers = np.full(count + line * times, value, np.float32)
    return np.lib.stride_tricks.as_strided(numbers, (times, count), (4 * line, 4))


# ---- nodes without work


def _dispatch(threads: int, context: Context) -> dict[str, float]:
    """What a node costs by itself: from two lengths of a chain, and as a profile shows it."""
    short, long = (_chain_seconds(nodes, threads) for nodes in CHAIN_NODES)
    nodes = CHAIN_NODES[1] - CHAIN_NODES[0]
    each = [(b - a) / nodes * 1e6 for a, b in zip(sorted(short), sorted(long), strict=True)]
    best = max((min(long) - min(short)) / nodes * 1e6, 1e-3)
    return {
        "dispatch_us": best,
        "dispatch_spread_share": max(statistics.median(each) / best - 1, 0.0),
        "profiled_node_us": _profiled_node_us(threads, context.folder),
    }


def _chain_seconds(nodes: int, threads: int) -> list[float]:
    run, feed = _chain(nodes, threads)
    seconds = []
    for _ in range(CHAIN_WARM_UP + CHAIN_RUNS):
        started = time.perf_counter()
        run.run(None, feed)
        seconds.append(time.perf_counter() - started)
    return seconds[CHAIN_WARM_UP:]


def _chain(nodes: int, threads: int, **options: Any) -> tuple[Any, dict[str, Any]]:
    """A session of so many nodes, each of which negates one number, and its input."""
    import numpy as np
    from onnx import TensorProto, helper

    ort = import_onnxruntime()
    graph = helper.make_graph(
        [helper.make_node("Neg", [f"t{i}"], [f"t{i + 1}"], name=f"n{i}") for i in range(nodes)],
        "chain",
        [helper.make_tensor_value_info("t0", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info(f"t{nodes}", TensorProto.FLOAT, [1])],
    )
    level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = _session(graph, threads, graph_optimization_level=level, **options)
    return session, {"t0": np.ones(1, np.float32)}


def _profiled_node_us(threads: int, folder: Path) -> float:
    """Mean time of the middle half of such nodes in a profile; its clock ticks in whole µs."""
    session, feed = _chain(
        CHAIN_NODES[0], threads, enable_profiling=True,
        profile_file_prefix=str(folder / "chain"),
    )  # fmt: skip
    for _ in range(PROFILED_RUNS):
        session.run(None, feed)
    path = Path(session.end_profiling())
    durations = sorted(_node_durations(path))
    path.unlink()
    middle = durations[len(durations) // 4 : 3 * len(durations) // 4]
    return statistics.fmean(middle) if middle else 0.0


def _node_durations(path: Path) -> Iterator[float]:
    for event in json.loads(path.read_text(encoding="utf-8")):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            yield float(event["dur"])
