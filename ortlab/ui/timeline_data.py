"""Windows of timelines as the browser asks for them; no Streamlit, no Plotly, no Parquet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from ortlab.analysis.timelines import timeline
from ortlab.domain.timeline import HOST_CLOCK
from ortlab.errors import RequestError
from ortlab.ui import door

MIN_WIDTH, MAX_WIDTH = 50, 4000
_ID = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_NUMBER = re.compile(r"-?[0-9]{1,18}")
# Where artifacts lie never changes; to look it up reads the whole file for its digest.
_KNOWN_PATHS = 64


def path(source: str, configuration: str | None) -> Path:
    """The stored timeline of a study's row, or of an opened trace."""
    return _path(str(door.lab().home), source, configuration)


def answer(asked: Mapping[str, str]) -> bytes:
    """The JSON of a window.

    Args:
        asked: `source` (id of a study or an opened trace), `cfg` (a study's row), `from` and `to`
            (µs of the trace), and if wanted `width` (pixels), `clock` and `node`.

    Raises:
        RequestError: a part is missing or makes no sense (kind `bad_window`).
        OrtlabError: there is no such profile.
    """
    source, configuration = _named(asked, "source"), asked.get("cfg") and _named(asked, "cfg")
    start_us, end_us = _number(asked, "from"), _number(asked, "to")
    width = min(max(_number(asked, "width", timeline.BUCKETS), MIN_WIDTH), MAX_WIDTH)
    node = _number(asked, "node", -1)
    found = timeline.window(
        path(source, configuration or None),
        start_us=start_us,
        end_us=end_us,
        buckets=min(width, timeline.BUCKETS),
        clock=asked.get("clock", HOST_CLOCK),
        node=node if node >= 0 else None,
    )
    return timeline.encoded(found)


@lru_cache(maxsize=_KNOWN_PATHS)
def _path(home: str, source: str, configuration: str | None) -> Path:
    # Late: `/api/health` must not wait for the database layer.
    from ortlab.jobs import explain

    return explain.digest_of(door.lab().store, source, configuration).timeline


def _named(asked: Mapping[str, str], name: str) -> str:
    text = asked.get(name, "")
    if not _ID.fullmatch(text):
        raise _refused(name, text, "an id as in the page's address")
    return text


def _number(asked: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = asked.get(name)
    if text is None and default is not None:
        return default
    if text is None or not _NUMBER.fullmatch(text):
        raise _refused(name, text or "", "a whole number")
    return int(text)


def _refused(name: str, text: str, wanted: str) -> RequestError:
    return RequestError(
        f"'{text[:40]}' is no good value of '{name}' for a timeline.",
        hint=f"Give {wanted}.",
        kind="bad_window",
    )
