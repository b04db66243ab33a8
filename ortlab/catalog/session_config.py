"""Whether session configuration entries are ones that ONNX Runtime 1.31 knows."""

from __future__ import annotations

from ortlab.catalog.options import SessionKey, checked, nearest
from ortlab.catalog.session_keys import SESSION_KEYS
from ortlab.errors import RequestError

BY_KEY = {k.key: k for k in SESSION_KEYS}
SETTABLE = tuple(k for k in SESSION_KEYS if not k.managed)
"""What a user may set; the rest ortlab sets itself or keeps out of measurements."""


def find(key: str) -> SessionKey:
    """The entry of that name.

    Raises:
        RequestError: unknown; names the nearest.
    """
    found = BY_KEY.get(key)
    if found is not None:
        return found
    like = nearest(key, BY_KEY)
    raise RequestError(
        f"ONNX Runtime has no session configuration key {key!r}.",
        hint=f"Did you mean {like}?" if like else "See onnxruntime_session_options_config_keys.h.",
    )


def validate(entries: dict[str, str], *, from_page: bool = False) -> dict[str, str]:
    """The entries as ORT spells them, keys in a stable order.

    Raises:
        RequestError: an unknown key, one that ortlab manages, or a value that does not fit.
    """
    return {key: _value(find(key), entries[key], from_page=from_page) for key in sorted(entries)}


def _value(key: SessionKey, value: str, *, from_page: bool) -> str:
    if key.managed:
        raise RequestError(
            f"The session configuration key {key.key} cannot be set here: {key.managed}.",
            hint="Leave it out.",
        )
    if from_page and not key.from_page:
        raise RequestError(
            f"The session configuration key {key.key} names files on this machine and cannot be "
            "set from the page.",
            hint="Set it on the command line.",
        )
    return checked(key, value, owner="Session configuration")
