"""The server's own small parts: sockets that send at once, a page that knows its server."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from ortlab.ui.entry import Entry
from ortlab.ui.security import host_name
from ortlab.ui.sockets import answering_at_once

PAGE = b"<html><head><title>Streamlit</title></head></html>"


def test_connections_of_the_server_send_without_waiting() -> None:
    # As Streamlit makes it: without naming the protocol.
    with socket.socket(socket.AF_INET) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        async def started() -> None:
            async with answering_at_once(None):
                return

        asyncio.run(started())
        with socket.create_connection(listening.getsockname()) as _:
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def answered(path: str, *, base_path: str = "") -> tuple[dict[bytes, bytes], bytes]:
    """Headers and body that leave for one path, when the app behind sends `PAGE` in two parts."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", str(len(PAGE)).encode()), (b"etag", b"x")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": PAGE[:20], "more_body": True})
        await send({"type": "http.response.body", "body": PAGE[20:]})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    asyncio.run(Entry(app, base_path=base_path)(scope, None, send))
    body = b"".join(m.get("body", b"") for m in sent)
    return dict(sent[0]["headers"]), body


@pytest.mark.parametrize("path", ["/", "/results", "/no/such/page"])
def test_a_page_is_told_its_server_and_has_the_length_it_says(path: str) -> None:
    headers, body = answered(path)
    assert b'BACKEND_BASE_URL:location.origin+"/"' in body
    assert int(headers[b"content-length"]) == len(body)
    assert b"etag" not in headers


def test_a_server_below_a_path_is_named_with_it() -> None:
    assert b'location.origin+"/tools/ortlab/"' in answered("/", base_path="/tools/ortlab/")[1]


@pytest.mark.parametrize("path", ["/static/js/a.js", "/_stcore/health", "/api/health", "/x.png"])
def test_everything_but_pages_passes_unchanged(path: str) -> None:
    assert answered(path)[1] == PAGE


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost:8501", "localhost"),
        ("LOCALHOST", "localhost"),
        ("[::1]:8501", "::1"),
        ("127.0.0.1.evil.example", "127.0.0.1.evil.example"),
        ("", ""),
    ],
)
def test_host_name_is_read_without_its_port(header: str, name: str) -> None:
    assert host_name(header) == name
