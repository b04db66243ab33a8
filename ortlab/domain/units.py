"""Numbers as text, in one way everywhere.

Inside, times are µs, sizes bytes and shares fractions; only this module makes text of them.
"""

from __future__ import annotations

import math

THIN = "\u2009"
"""The thin space before a unit."""
MISSING = "–"

_TIME_UNITS = ((1.0, "µs"), (1e3, "ms"), (1e6, "s"))
_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def significant(value: float, digits: int = 3) -> str:
    """`value` with so many significant digits, no exponent, thousands separated."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def time_unit(values_us: list[float]) -> tuple[float, str]:
    """The divisor and unit that suit a whole column: µs below 1 ms, ms below 1 s, else s."""
    largest = max((abs(v) for v in values_us), default=0.0)
    index = 0 if largest < 1e3 else 1 if largest < 1e6 else 2
    return _TIME_UNITS[index]


def time(us: float | None, *, unit: tuple[float, str] | None = None) -> str:
    """`3.21 ms`; in the column's unit when one is given."""
    if us is None:
        return MISSING
    divisor, name = unit or time_unit([us])
    return f"{significant(us / divisor)}{THIN}{name}"


def duration(seconds: float | None) -> str:
    """`45 s`, `3 min 20 s`, `2 h 5 min`: how long a person waits."""
    if seconds is None:
        return MISSING
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole}{THIN}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 90:
        return f"{minutes}{THIN}min" + (f" {rest}{THIN}s" if rest else "")
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{THIN}h" + (f" {minutes}{THIN}min" if minutes else "")


def size(count: int | float | None) -> str:
    """`3.40 MiB`: bytes in binary units."""
    if count is None:
        return MISSING
    value, index = float(count), 0
    while abs(value) >= 1024 and index < len(_BYTE_UNITS) - 1:
        value, index = value / 1024, index + 1
    text = f"{value:,.0f}" if index == 0 else significant(value)
    return f"{text}{THIN}{_BYTE_UNITS[index]}"


def speedup(ratio: float | None) -> str:
    """`1.77×`: baseline ÷ candidate, above 1 is faster."""
    return MISSING if ratio is None else f"{significant(ratio)}×"


def change(ratio: float | None) -> str:
    """`−34 %`: the change of latency that a speed-up of `ratio` is."""
    if ratio is None:
        return MISSING
    percent = (1 / ratio - 1) * 100
    sign = "−" if percent < 0 else "+"
    return f"{sign}{significant(abs(percent), 2)}{THIN}%"


def share(fraction: float | None) -> str:
    """`31.4 %` of a fraction 0–1."""
    return MISSING if fraction is None else f"{fraction * 100:.1f}{THIN}%"


def count(value: int | float | None) -> str:
    """`1,234,567`."""
    return MISSING if value is None else f"{value:,.0f}"


def big_count(value: int | float | None) -> str:
    """`25.6 M`: counts too long to read digit by digit."""
    if value is None:
        return MISSING
    for limit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{significant(value / limit)}{THIN}{name}"
    return f"{value:,.0f}"


def rate(per_second: float | None) -> str:
    """`546 inf/s`."""
    return MISSING if per_second is None else f"{significant(per_second)}{THIN}inf/s"


def error(value: float | None) -> str:
    """A numerical error: scientific below 1e-3."""
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    return f"{value:.1e}" if abs(value) < 1e-3 else significant(value)
