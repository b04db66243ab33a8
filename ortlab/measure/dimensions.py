"""A value for every symbolic dimension: asked for, taken from the batch, or sensible."""

from __future__ import annotations

import re

from ortlab.catalog.options import nearest
from ortlab.domain.model import ModelInfo
from ortlab.errors import DimensionError, RequestError

# Names that exporters and people give to the batch axis.
_BATCH_NAME = re.compile(r"(^|[^a-z])(batch|bs|n|b)([^a-z]|$)|batch", re.IGNORECASE)
MAX_DIM = 1 << 31


def decided(
    model: ModelInfo, *, dims: dict[str, int], batch: int | None, from_file: bool
) -> dict[str, int]:
    """A size by name, in the model's order.

    Args:
        model: its inputs, symbols and sensible values.
        dims: sizes asked for by name; they win.
        batch: size of the first axis, where its name looks like a batch.
        from_file: the user's own arrays decide; only what was asked for is stated.

    Raises:
        DimensionError: a name that the model lacks, or a size below 0.
    """
    _refuse_unknown(model, dims)
    known = {} if from_file else dict(model.dim_hints)
    if batch is not None:
        known |= dict.fromkeys(batch_names(model, batch), batch)
    known |= dims
    for name, size in known.items():
        if not 0 <= size < MAX_DIM:
            raise DimensionError(
                f"Dimension '{name}' cannot be {size}.", hint=f"Give --dim {name}=1, or more."
            )
    return {n: known[n] for n in model.symbolic_dims if n in known}


def refuse_missing(model: ModelInfo, dims: dict[str, int]) -> None:
    """Refuse a configuration that leaves a symbolic dimension open.

    Raises:
        DimensionError: names the first dimension without a value.
    """
    missing = [n for n in model.symbolic_dims if n not in dims]
    if missing:
        raise DimensionError(
            f"Dimension '{missing[0]}' of {model.name} has no value.",
            hint=f"Give one with --dim {missing[0]}=INT.",
        )


def batch_names(model: ModelInfo, batch: int) -> list[str]:
    """The symbolic dimensions that are the batch: first axes with such a name.

    Where no name tells, the one symbol that all first axes share is the batch.

    Raises:
        RequestError: no input's first axis can change, and it is not this size already.
    """
    firsts = [i.shape[0] for i in model.inputs if i.shape]
    symbols = list(dict.fromkeys(d for d in firsts if isinstance(d, str)))
    named = [s for s in symbols if _BATCH_NAME.search(s)]
    if named:
        return named
    if len(symbols) == 1:
        return symbols
    if symbols:
        raise RequestError(
            f"--batch {batch} could mean any of {', '.join(symbols)}.",
            hint=f"Name it: --dim {symbols[0]}={batch}.",
        )
    if batch in firsts:
        return []
    raise RequestError(
        f"The batch of {model.name} is fixed"
        + (f" at {firsts[0]}" if firsts and isinstance(firsts[0], int) else "")
        + f"; it cannot be {batch}.",
        hint="Export the model with a dynamic first axis.",
    )


def _refuse_unknown(model: ModelInfo, dims: dict[str, int]) -> None:
    for name in dims:
        if name in model.symbolic_dims:
            continue
        like = nearest(name, model.symbolic_dims)
        known = ", ".join(model.symbolic_dims)
        raise DimensionError(
            f"{model.name} has no dimension '{name}'.",
            hint=f"Did you mean {like}?" if like
            else f"It has {known}." if known
            else "All its dimensions are fixed.",
        )  # fmt: skip
