"""The one laboratory of this server process, for pages and for plain HTTP answers."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ortlab.lab import Lab


def lab() -> Lab:
    """The laboratory under `ORTLAB_HOME`, opened once."""
    return _opened(os.environ.get("ORTLAB_HOME"))


@lru_cache(maxsize=4)
def _opened(home: str | None) -> Lab:
    # Late: the first text must not wait for the database layer.
    from ortlab.lab import Lab

    return Lab.open(home)
