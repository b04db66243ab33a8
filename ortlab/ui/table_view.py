"""Rows as a table that sorts, searches and leaves as CSV in base units."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import streamlit as st

from ortlab.domain import units
from ortlab.ui import words

Kind = Literal["text", "time", "bytes", "share", "ratio", "count", "rate", "number", "check",
               "flops", "traffic"]  # fmt: skip
Row = Mapping[str, Any]
# A spreadsheet runs a cell that starts so.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
# Three decimals would leave one digit of it.
_LEAST_ALIGNED = 0.01
_SEARCH_FROM = 12
"""Shorter tables need no search box."""
# Of Streamlit's table, head included; a table of a few rows is drawn without empty ones below.
_ROW_PX = 35
_BYTE_STEPS = ((1.0, "B"), (1024.0, "KiB"), (1024.0**2, "MiB"), (1024.0**3, "GiB"))
_STEPS = {
    "bytes": _BYTE_STEPS,
    # Rates of work and traffic are decimal wherever they are written.
    "flops": ((1.0, "FLOP"), (1e3, "kFLOP"), (1e6, "MFLOP"), (1e9, "GFLOP"), (1e12, "TFLOP")),
    "traffic": ((1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB")),
}


class Column(NamedTuple):
    """One column: `key` names the base unit (and the CSV column), `title` is for people."""

    key: str
    title: str
    kind: Kind = "text"
    help: str | None = None
    group: str = ""
    """Columns of one group share their unit, so that they can be compared by eye."""


def show(
    rows: Sequence[Row],
    columns: Sequence[Column],
    *,
    key: str,
    alt: str,
    select: Literal["multi-row", "single-row"] | None = None,
    height: int | Literal["auto"] = "auto",
    name: str = "table",
    search: bool = True,
    limit: int | None = None,
    marked: int | None = None,
    on_row: Callable[[int], None] | None = None,
) -> list[int]:
    """Draw the table; the numbers of the selected rows come back, in the order of `rows`.

    Args:
        rows, columns: what to show. A column without any value is left out.
        key, alt, name: of the widget, for screen readers, and of the CSV file.
        select: rows that a person may mark.
        height: of the table in pixels, where its rows fill it.
        search: offer a search box where the table is long.
        limit: at most so many of the rows found are sent to the browser; the CSV has all.
        marked: the row that is selected at first.
        on_row: called with the number of a row that was clicked, before the page is drawn again.
    """
    searchable = search and len(rows) >= _SEARCH_FROM
    shown = _searched(rows, columns, key=key) if searchable else list(range(len(rows)))
    if not shown:
        st.caption(f"0 of {len(rows)} rows match.")
        st.button("Clear search", key=f"{key}-clear", on_click=_clear, args=(f"{key}-search",))
        return []
    columns = [c for c in columns if any(rows[i].get(c.key) is not None for i in shown)]
    if limit is not None and len(shown) > limit:
        st.caption(f"{limit:,} of {len(shown):,} rows shown; the CSV has all of them.")
        shown = shown[:limit]
    found = [rows[i] for i in shown]
    more: dict[str, Any] = {"height": fitting(height, len(shown))}
    if on_row is not None:
        more |= {"on_select": _row_clicked(key, shown, on_row), "selection_mode": "single-row"}
    elif select is not None:
        more |= {"on_select": "rerun", "selection_mode": select}
    if on_row is not None:
        more["selection_default"] = _mark(key, shown, marked)
    event = st.dataframe(
        _frame(found, columns), column_config=_config(found, columns), hide_index=True, alt=alt,
        key=key, placeholder=units.MISSING, **more,
    )  # fmt: skip
    st.download_button(
        "CSV", data=lambda: to_csv(rows, columns), file_name=f"{name}.csv", mime="text/csv",
        icon=":material/download:", key=f"{key}-csv", on_click="ignore", type="tertiary",
    )  # fmt: skip
    selects = select is not None or on_row is not None
    return [shown[i] for i in event.selection.rows if i < len(shown)] if selects else []


def fitting(height: int | Literal["auto"], rows: int) -> int | Literal["auto"]:
    """The height of a table of so many rows; no empty ones below where they are few."""
    return height if height != "auto" and (rows + 1) * _ROW_PX > height else "auto"


def _mark(key: str, shown: Sequence[int], marked: int | None) -> dict[str, Any]:
    """The rows marked at first; what it was at first where a click has marked one since.

    Anything else would send the whole table again for a mark that it has already.
    """
    state = st.session_state.get(key)
    if not (state and state["selection"]["rows"]):
        rows = [shown.index(marked)] if marked in shown else []
        st.session_state[f"{key}-marked"] = rows
    return {"selection": {"rows": st.session_state.get(f"{key}-marked", [])}}


def _row_clicked(key: str, shown: Sequence[int], on_row: Callable[[int], None]) -> Any:
    """The callback of the table: a click that unmarks a row unselects nothing."""

    def clicked() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        if rows and rows[0] < len(shown):
            on_row(shown[rows[0]])

    return clicked


def to_csv(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """All rows in base units; a text that a spreadsheet would run gets a quote in front."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([c.key for c in columns])
    writer.writerows([[_cell(row.get(c.key)) for c in columns] for row in rows])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return "'" + value
    return "" if value is None else value


def _searched(rows: Sequence[Row], columns: Sequence[Column], *, key: str) -> list[int]:
    wanted = st.text_input(
        "Search", key=f"{key}-search", placeholder="Search", label_visibility="collapsed",
        icon=":material/search:", width=320,
    ).strip().lower()  # fmt: skip
    texts = [c.key for c in columns if c.kind == "text"]
    return [
        i
        for i, row in enumerate(rows)
        if not wanted or any(wanted in str(row.get(k) or "").lower() for k in texts)
    ]


def _clear(key: str) -> None:
    st.session_state[key] = ""


def _frame(rows: Sequence[Row], columns: Sequence[Column]) -> Any:
    import pandas as pd

    scales = {c.key: _scale(c, rows, columns)[0] for c in columns}
    data = {c.key: [_shown(row.get(c.key), c, scales[c.key]) for row in rows] for c in columns}
    return pd.DataFrame(data)


def _shown(value: Any, column: Column, divisor: float) -> Any:
    """A cell in the column's unit, rounded to what can be read."""
    if column.kind == "text":
        return units.MISSING if value in (None, "") else words.plain(str(value), limit=600)
    if value is None or column.kind == "check":
        return value
    if column.kind == "count":
        return int(value)
    return _rounded(value / divisor)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _scale(column: Column, rows: Sequence[Row], columns: Sequence[Column]) -> tuple[float, str]:
    """The divisor and the unit that the header names."""
    if column.kind in ("text", "check"):
        return 1.0, ""
    keys = [c.key for c in columns if column.group and c.group == column.group] or [column.key]
    values = [float(row[k]) for row in rows for k in keys if row.get(k) is not None]
    if column.kind == "time":
        return units.time_unit(values)
    if column.kind in _STEPS:
        steps = _STEPS[column.kind]
        largest = max((abs(v) for v in values), default=0.0)
        return next((s for s in reversed(steps) if largest >= s[0]), steps[0])
    if column.kind in ("share", "percent"):
        return 0.01, "%"
    return (1.0, "inf/s") if column.kind == "rate" else (1.0, "")


def _config(rows: Sequence[Row], columns: Sequence[Column]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for column in columns:
        if column.kind == "text":
            made[column.key] = st.column_config.TextColumn(column.title, help=column.help)
        elif column.kind == "check":
            made[column.key] = st.column_config.CheckboxColumn(column.title, help=column.help)
        else:
            divisor, unit = _scale(column, rows, columns)
            values = [row[column.key] / divisor for row in rows if row.get(column.key) is not None]
            made[column.key] = _number_config(column, unit, values)
    return made


def _number_config(column: Column, unit: str, values: Sequence[float]) -> Any:
    title = f"{column.title}, {unit}" if unit else column.title
    if column.kind == "share":
        return st.column_config.ProgressColumn(
            title, help=column.help, min_value=0, max_value=100, format="%.1f"
        )
    forms = {"ratio": "%.3g×", "count": "localized", "number": "%.2g", "percent": "%.1f"}
    form = forms.get(column.kind) or _aligned(values)
    return st.column_config.NumberColumn(title, help=column.help, format=form)


def _aligned(values: Sequence[float]) -> str | None:
    """A format that gives the whole column as many decimals as its smallest number needs.

    None where the numbers are whole, or too far apart for one number of decimals.
    """
    rounded = [abs(_rounded(value)) for value in values]
    smallest = min((value for value in rounded if value), default=1.0)
    if smallest < _LEAST_ALIGNED or all(value == int(value) for value in rounded):
        return None
    return "%.1f" if smallest >= 100 else "%.2f" if smallest >= 1 else "%.3f"


def chart_and_table(
    draw: Callable[[], Any], table: Callable[[], Any], *, key: str, alt: str, label: str = "Table"
) -> None:
    """A figure, with the same numbers as a table folded beneath it."""
    from ortlab.charts import theme

    st.plotly_chart(draw(), key=f"{key}-chart", config=theme.CONFIG, alt=alt)
    with st.expander(label, icon=":material/table:"):
        table()
