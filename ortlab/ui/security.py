"""What every answer of the server carries, and whose requests it takes."""

from __future__ import annotations

import os
from typing import Any

# `unsafe-inline` and `unsafe-eval` are Streamlit's own needs: it writes styles while running
# and compiles its table and chart code. Everything else, pictures first of all, comes from
# this server alone, so that a hostile name in a model cannot make the browser call out.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "media-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
HOSTS_VARIABLE = "ORTLAB_ALLOWED_HOSTS"
"""Comma-separated further names this server may be called by; `*` takes any."""


def allowed_hosts() -> frozenset[str]:
    """The names a request may call this server by."""
    extra = os.environ.get(HOSTS_VARIABLE, "")
    return LOCAL_HOSTS | {name.strip().lower() for name in extra.split(",") if name.strip()}


def host_name(header: str) -> str:
    """The name in a Host header, without its port."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].split("]")[0]
    return text.rsplit(":", 1)[0] if ":" in text else text


class Guard:
    """ASGI middleware: refuses foreign Host headers, adds security headers to the rest.

    A page elsewhere can point its own name at 127.0.0.1 (DNS rebinding) and so read what
    this server tells; such a request carries that foreign name as its host.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.hosts = allowed_hosts()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif self._trusted(scope):
            await self.app(scope, receive, _with_headers(send))
        else:
            await _refuse(scope, receive, send)

    def _trusted(self, scope: Any) -> bool:
        named = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        return "*" in self.hosts or host_name(named) in self.hosts


def _with_headers(send: Any) -> Any:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *HEADERS]}
        await send(message)

    return sending


async def _refuse(scope: Any, receive: Any, send: Any) -> None:
    from starlette.responses import PlainTextResponse
    from starlette.websockets import WebSocketClose

    if scope["type"] == "websocket":
        await WebSocketClose(code=1008)(scope, receive, send)
        return
    text = (
        "This server answers to localhost only.\n"
        f"To call it by another name, set {HOSTS_VARIABLE} to that name and start it again.\n"
    )
    await PlainTextResponse(text, status_code=421)(scope, receive, send)
