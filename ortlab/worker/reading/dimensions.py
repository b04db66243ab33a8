"""The open dimensions of a model: their names, and a sensible first size for each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from ortlab.domain.model import Dim, Problem
from ortlab.errors import DimensionError
from ortlab.worker.reading.wire import Graph, Value

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


_OPERATOR = re.compile(r"[-+*/%(]")
_WORD = re.compile(r"[A-Za-z_]\w*")
_NAMELESS = ("?", "None", "unk", "-1", "*")


def names(graph: Graph) -> list[tuple[Value, tuple[Dim, ...]]]:
    """Each fed input with its shape, anonymous dimensions named `<input>.<axis>`.

    Dimensions called `?` stand for different sizes in one model, so they count as anonymous.
    """
    weights = {tensor.name for tensor in graph.initializers}
    fed = [value for value in graph.inputs if value.name not in weights]
    return [(value, _named(value)) for value in fed]


def _named(value: Value) -> tuple[Dim, ...]:
    return tuple(
        f"{value.name}.{axis}" if dim is None or dim in _NAMELESS else dim
        for axis, dim in enumerate(value.shape or ())
    )


def symbols(named: list[tuple[Value, tuple[Dim, ...]]]) -> dict[str, tuple[Value, int]]:
    """Where each open dimension stands first: its input and axis.

    An expression such as `past + 1` is no dimension of its own; those it is made of are.
    """
    found: dict[str, tuple[Value, int]] = {}
    for value, shape in named:
        for axis, dim in enumerate(shape):
            for name in _parts(dim) if isinstance(dim, str) else ():
                found.setdefault(name, (value, axis))
    return found


def hints(named: list[tuple[Value, tuple[Dim, ...]]]) -> dict[str, int]:
    """A sensible size for each open dimension, from its name, else from where it stands."""
    return {
        symbol: _by_name(symbol) or _by_place(value, axis)
        for symbol, (value, axis) in symbols(named).items()
    }


def sizes(named: list[tuple[Value, tuple[Dim, ...]]]) -> dict[str, int]:
    """The sensible sizes, and what expressions come to with them."""
    found = hints(named)
    for _, shape in named:
        for dim in shape:
            if isinstance(dim, str) and dim not in found:
                from ortlab.worker.feeding.dims import Dims

                # One that comes out negative stays unknown until the user gave sizes.
                with suppress(DimensionError):
                    found[dim] = Dims(found).size(dim)
    return found


def _parts(dim: str) -> list[str]:
    """The dimensions an expression is made of; a plain name is made of itself."""
    if not _OPERATOR.search(dim):
        return [dim]
    from ortlab.worker.feeding.dims import Dims

    expression = Dims({}, keys={("", 0): dim})
    words = dict.fromkeys(_WORD.findall(dim))
    return [word for word in words if expression.axes(word)] or [dim]


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
