"""Where a running study puts what it has."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ortlab.domain.study import ConfigurationResult, Progress


class Sink(Protocol):
    """Where a running study puts what it has."""

    def progress(self, progress: Progress) -> None:
        """Where the study stands."""

    def row(self, result: ConfigurationResult) -> None:
        """One configuration's result, so far; may come again with better figures."""

    def artifact(self, path: Path) -> str:
        """Keep a file for good and give its digest."""
