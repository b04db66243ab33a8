"""Inputs for a model: generated in range and tried, or the user's own, kept as `feeds.npz`.

How each value is chosen is told in docs/method.md, section "Feeds". `load` and
`needs_ort_values` need only numpy and onnxruntime; `make` reads the model's graph as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ortlab.worker.feeding import files as feed_files
from ortlab.worker.protocol import Context, Message

NAME = "feeds.npz"


def make(request: Message, context: Context) -> Message:
    """Writes `feeds.npz` into the private folder.

    Request: `model` (path), `dims` (name → size), `seed`, and optionally `assumed` (names in
    `dims` that nobody fixed, so that they may change), `npz` (path of the user's own arrays),
    `try_run` (false: only generate), `limit_bytes`, `max_run_s`.
    Reply: `path`, `notes` (a sentence per input and per change), `inputs` (name, dtype,
    shape), `dims` (every open dimension with the size used), `tries`.

    Raises:
        DimensionError: a dimension is unknown, or no sizes were found that the model takes.
        FeedError: the user's arrays do not fit, or no values were found that the model takes.
        ModelError: ONNX Runtime refuses the model itself.
    """
    from ortlab.worker.feeding import making as feed_making

    return feed_making.make(request, context, path=context.folder / NAME)


def load(path: Path) -> dict[str, Any]:
    """What `session.run` takes: arrays, lists, None; OrtValues where numpy has no type."""
    return feed_files.load(path)


def needs_ort_values(feeds: dict[str, Any]) -> bool:
    """Whether the feeds go to `session.run_with_ort_values` instead of `session.run`."""
    return feed_files.needs_ort_values(feeds)
