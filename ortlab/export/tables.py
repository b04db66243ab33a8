"""The tables of a profile as CSV: every column, base units in the column's name."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import msgspec

from ortlab.domain.trace import NodeRow, OperatorRow, Profile, ProviderRow, Run, ShapeRow

TABLES: dict[str, type[msgspec.Struct]] = {
    "operators": OperatorRow,
    "nodes": NodeRow,
    "runs": Run,
    "shapes": ShapeRow,
    "providers": ProviderRow,
}
"""Name → its rows; the name is that of the field of `Profile`."""
# A spreadsheet runs a cell that starts so.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def files(profile: Profile) -> dict[str, bytes]:
    """Table → CSV in UTF-8, lines ended by a line feed."""
    return {
        name: _csv(kind, getattr(profile, name)).encode("utf-8", "replace")
        for name, kind in TABLES.items()
    }


def _csv(kind: type[msgspec.Struct], rows: Sequence[msgspec.Struct]) -> str:
    """A header and one line per row; a pair of numbers takes two columns."""
    pairs = {f.name for f in msgspec.structs.fields(kind) if f.name.startswith("ci95_")}
    names = [f.name for f in msgspec.structs.fields(kind)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column for name in names for column in _columns(name, name in pairs)])
    for row in rows:
        cells: list[Any] = []
        for name in names:
            value = getattr(row, name)
            cells += (value or ("", "")) if name in pairs else (value,)
        writer.writerow([_cell(cell) for cell in cells])
    return out.getvalue()


def _columns(name: str, is_pair: bool) -> tuple[str, ...]:
    """`ci95_us` becomes `ci95_low_us` and `ci95_high_us`."""
    if not is_pair:
        return (name,)
    unit = name.removeprefix("ci95_")
    return f"ci95_low_{unit}", f"ci95_high_{unit}"


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return "'" + value
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else value
