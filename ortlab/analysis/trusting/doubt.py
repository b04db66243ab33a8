"""What all doubts about a profile are made with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from ortlab.domain.trace import TrustReason

if TYPE_CHECKING:
    from ortlab.analysis.trusting.trust import Evidence

NOTE = "A"
"""The grade of a note: it lowers none."""
Doubt: TypeAlias = "Callable[[Evidence], TrustReason | None]"


def reason(code: str, message: str, *, grade: str, cost: str = "", remedy: str = "") -> TrustReason:
    """One reason, by keywords."""
    return TrustReason(code=code, message=message, cost=cost, remedy=remedy, grade=grade)


def plural(count: int) -> str:
    """The ending of a word for so many."""
    return "" if count == 1 else "s"
