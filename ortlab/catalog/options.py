"""One named setting of a provider or a session, and whether a value fits it.

ONNX Runtime 1.31 accepts unknown names and wrong values silently, so they are checked here.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from ortlab.errors import RequestError

Kind = Literal["bool", "int", "float", "enum", "bytes", "text", "path"]

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_SIZE = re.compile(r"(\d+)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_FACTORS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class Option(Struct, frozen=True):
    """One option: its name, what values it takes and what it does.

    `default` is ORT's own, as text, empty where it was not established. `loads_code` marks
    paths to libraries that run in the measured process. `since` is the first ORT version
    that knows the option, empty where that was not established.
    """

    key: str
    kind: Kind
    default: str = ""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    meaning: str = ""
    loads_code: bool = False
    since: str = ""

    @property
    def from_page(self) -> bool:
        """Whether a web page may offer it: nothing that names files or loads code."""
        return not self.loads_code and self.kind != "path"


class SessionKey(Option, frozen=True):
    """One session configuration entry. `managed` says what ortlab does with it instead."""

    managed: str = ""


def checked(option: Option, value: str, *, owner: str) -> str:
    """The value as ORT spells it: `1` for `true`, bytes for `2 GiB`, an enum in its case.

    Raises:
        RequestError: the value does not fit; names the option and what it takes.
    """
    text = str(value).strip()
    normal = _CHECKS[option.kind](option, text)
    if normal is None:
        raise RequestError(
            f"{owner}: {option.key} cannot be {value!r}.", hint=f"It takes {takes(option)}."
        )
    return normal


def takes(option: Option) -> str:
    """What values an option takes, in words."""
    if option.choices:
        return "one of " + ", ".join(option.choices)
    low, high = option.minimum, option.maximum
    limits = (f" from {low:g}" if low is not None else "") + (f" to {high:g}" if high else "")
    return {
        "bool": "1 or 0",
        "int": "a whole number" + limits,
        "float": "a number" + limits,
        "bytes": "a size such as 2147483648 or 2GiB",
        "path": "a path",
    }.get(option.kind, "a text")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when nothing is like it."""
    by_lower = {k.lower(): k for k in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[found[0]] if found else None


def _bool(option: Option, text: str) -> str | None:
    spelled = ("false", "true") if option.default in ("true", "false") else ("0", "1")
    if text.lower() in _TRUE:
        return spelled[1]
    return spelled[0] if text.lower() in _FALSE else None


def _int(option: Option, text: str) -> str | None:
    if not re.fullmatch(r"[+-]?\d+", text):
        return None
    return str(int(text)) if _within(option, int(text)) else None


def _float(option: Option, text: str) -> str | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return text if math.isfinite(number) and _within(option, number) else None


def _enum(option: Option, text: str) -> str | None:
    return {c.lower(): c for c in option.choices}.get(text.lower())


def _bytes(option: Option, text: str) -> str | None:
    found = _SIZE.fullmatch(text)
    if found is None:
        return None
    return str(int(found.group(1)) * _FACTORS[found.group(2).lower()])


def _text(option: Option, text: str) -> str | None:
    return None if "\0" in text else text


def _within(option: Option, number: float) -> bool:
    if option.minimum is not None and number < option.minimum:
        return False
    return option.maximum is None or number <= option.maximum


_CHECKS = {
    "bool": _bool, "int": _int, "float": _float, "enum": _enum, "bytes": _bytes,
    "text": _text, "path": _text,
}  # fmt: skip
