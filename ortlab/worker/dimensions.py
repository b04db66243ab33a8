"""The open dimensions of a model: their names, and a sensible first size for each."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ortlab.domain.model import Dim, Problem
from ortlab.worker.wire import Graph, Value

# Small enough to run anywhere; a batch of one is what people mean by latency.
_ONE = 1
SEQUENCE = 128
PICTURE = 224
# Ten seconds of sound at 16 kHz would be 160,000 samples; one second runs quickly.
SAMPLES = 16_000
FRAMES = 100

# In order; the first that fits the name decides. Values are those of common published models.
_BY_NAME = (
    (r"past|cache|kv", 16),
    (r"batch|^n$|^b$|^bs$|^bsz$", _ONE),
    (r"height|width|^h$|^w$|image_?size|^size$|rows|cols", PICTURE),
    (r"samples?$|waveform|audio_?len", SAMPLES),
    (r"seq|tokens?|^t$|^s$|^l$|text|length|^len$|max_?len", SEQUENCE),
    (r"time|frames?|steps?", FRAMES),
    (r"channels?|^c$", 3),
    (r"classes|labels", 2),
    (r"num|count|boxes|points|nodes|edges|queries|^k$|^m$", 16),
)


def names(graph: Graph) -> list[tuple[Value, tuple[Dim, ...]]]:
    """Each fed input with its shape, anonymous dimensions named `<input>.<axis>`.

    Dimensions called `?` stand for different sizes in one model, so they count as anonymous.
    """
    weights = {tensor.name for tensor in graph.initializers}
    fed = [value for value in graph.inputs if value.name not in weights]
    return [(value, _named(value)) for value in fed]


def _named(value: Value) -> tuple[Dim, ...]:
    return tuple(
        f"{value.name}.{axis}" if dim is None or dim in ("?", "None", "unk") else dim
        for axis, dim in enumerate(value.shape or ())
    )


def symbols(named: list[tuple[Value, tuple[Dim, ...]]]) -> dict[str, tuple[Value, int]]:
    """Where each open dimension stands first: its input and axis."""
    found: dict[str, tuple[Value, int]] = {}
    for value, shape in named:
        for axis, dim in enumerate(shape):
            if isinstance(dim, str):
                found.setdefault(dim, (value, axis))
    return found


def hints(named: list[tuple[Value, tuple[Dim, ...]]]) -> dict[str, int]:
    """A sensible size for each open dimension, from its name, else from where it stands."""
    return {
        symbol: _sum(symbol, value, axis) or _by_name(symbol) or _by_place(value, axis)
        for symbol, (value, axis) in symbols(named).items()
    }


def problems(named: list[tuple[Value, tuple[Dim, ...]]]) -> Iterator[Problem]:
    """A question for each open dimension."""
    suggested = hints(named)
    for symbol, (value, axis) in symbols(named).items():
        yield Problem(
            code="undecided-dimension",
            message=f"The dimension '{symbol}' (axis {axis} of input '{value.name}') has no size.",
            hint=f"Give one, as in --dim '{symbol}={suggested[symbol]}'.",
            severity="ask",
        )


def _by_name(symbol: str) -> int | None:
    # Exporters join words with these; an anonymous name says nothing about size.
    if "." in symbol:
        return None
    word = re.sub(r"^(dynamic_axes_|dim_)", "", symbol.lower())
    return next((size for pattern, size in _BY_NAME if re.search(pattern, word)), None)


def _by_place(value: Value, axis: int) -> int:
    """From the rank and kind of the input: batch first, pictures last, token ids in between."""
    rank = len(value.shape or ())
    if axis == 0:
        return _ONE
    if rank == 4 and axis >= 2:
        return PICTURE if _looks_like_picture(value) else 16
    if rank == 2 and value.dtype in (6, 7):
        return SEQUENCE
    return 3 if rank == 4 else 16


def _looks_like_picture(value: Value) -> bool:
    channels = (value.shape or (None, None))[1]
    return channels in (1, 3, 4) or not isinstance(channels, int)


def _sum(symbol: str, value: Value, axis: int) -> int | None:
    """`past + seq` as some exporters write it: the sum of the sizes of its parts."""
    parts = [part.strip() for part in symbol.split("+")]
    if len(parts) < 2 or not all(parts):
        return None
    sizes = [int(p) if p.isdecimal() and len(p) < 7 else _by_name(p) for p in parts]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else _by_place(value, axis)
