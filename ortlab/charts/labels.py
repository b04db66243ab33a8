"""Names of configurations that say only what differs."""

from __future__ import annotations

from collections.abc import Sequence

from ortlab.domain.study import ConfigurationResult

SEPARATOR = " · "


def short_labels(rows: Sequence[ConfigurationResult]) -> dict[str, str]:
    """A label for each row id, without the parts that all rows share.

    Provider, level and variant of a single row are kept: a lone bar needs a name too.
    """
    parts = {row.id: row.label.split(SEPARATOR) for row in rows}
    shared = set.intersection(*(set(p) for p in parts.values())) if parts else set()
    return {
        key: SEPARATOR.join([p for p in found if p not in shared] or found[:3])
        for key, found in parts.items()
    }


def shared_part(rows: Sequence[ConfigurationResult]) -> str:
    """What all rows have in common, as one line; empty when nothing or only one row."""
    if len(rows) < 2:
        return ""
    parts = [row.label.split(SEPARATOR) for row in rows]
    common = [p for p in parts[0] if all(p in other for other in parts[1:])]
    return SEPARATOR.join(common)
