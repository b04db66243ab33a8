"""The page that starts the app, told where its server is.

Streamlit's page looks for its server under the address it was opened at, so a link to
`/results` first asks `/results/_stcore/health` and meets two errors before it asks `/`. It
asks nowhere else when `window.__streamlit` names the server; that is what is put in here.
Pages that begin with a chart also name the script that draws it, so that the browser fetches
it beside the rest and not after it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit

from ortlab.ui import preload

_OTHERS = ("/_stcore", "/api", "/media", "/component", "/static", "/app")
_MARK = b"<title>Streamlit</title>"
_WITH_CHARTS = ("/results", "/profile")
_SCRIPTS = "static/js"
_TOLD = (
    b"<title>ortlab</title><script>window.__streamlit="
    b'{BACKEND_BASE_URL:location.origin+"%s/"}</script>'
)


class Entry:
    """ASGI middleware: adds the server's address to the start page, changes nothing else."""

    def __init__(self, app: Any, *, base_path: str = "") -> None:
        self.app = app
        path = base_path.strip("/")
        self.base = f"/{path}" if path else ""
        self.told = _TOLD % self.base.encode()
        self.chart = self._chart_script()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on; a page's answer is changed on its way back."""
        if not _asks_for_page(scope):
            await self.app(scope, receive, send)
            return
        preload.start()
        chart = self.chart if scope["path"].rstrip("/").endswith(_WITH_CHARTS) else b""
        # Compressed, the page could not be changed.
        headers = [(k, v) for k, v in scope["headers"] if k != b"accept-encoding"]
        answer = _Held(send, self.told + chart)
        await self.app({**scope, "headers": headers}, receive, answer.take)

    def _chart_script(self) -> bytes:
        """The link that fetches the chart's script early; empty when Streamlit moved it."""
        folder = Path(streamlit.__file__).parent / "static" / _SCRIPTS
        found = sorted(folder.glob("PlotlyChart.*.js"))
        address = f"{self.base}/{_SCRIPTS}/{found[0].name}" if found else ""
        return f'<link rel="modulepreload" href="{address}">'.encode() if found else b""


class _Held:
    """An answer that is held back until it is whole."""

    def __init__(self, send: Any, told: bytes) -> None:
        self.send, self.told = send, told
        self.start: Any = None
        self.body = b""

    async def take(self, message: Any) -> None:
        """One message of the answer; the last one sends it all."""
        if message["type"] == "http.response.start":
            self.start = message
            return
        if message["type"] != "http.response.body":
            await self.send(message)
            return
        self.body += message.get("body", b"")
        if not message.get("more_body"):
            await self._release()

    async def _release(self) -> None:
        body = self.body.replace(_MARK, self.told, 1)
        kept = [(k, v) for k, v in self.start["headers"]
                if k.lower() not in (b"content-length", b"etag", b"last-modified")]  # fmt: skip
        if self.start["status"] in (204, 304):
            kept = list(self.start["headers"])
        else:
            kept.append((b"content-length", str(len(body)).encode()))
        await self.send({**self.start, "headers": kept})
        await self.send({"type": "http.response.body", "body": body})


def _asks_for_page(scope: Any) -> bool:
    path: str = scope.get("path", "")
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and not path.startswith(_OTHERS)
        and "." not in path.rsplit("/", 1)[-1]
    )
