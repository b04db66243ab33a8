"""Answers that leave at once.

Streamlit makes its listening socket without naming the protocol, and asyncio switches Nagle's
algorithm off only on sockets that name it. Headers and body of an answer are two writes; with
the algorithm on, the second waits up to 40 ms for the receipt of the first, and a page is made
of sixty answers.
"""

from __future__ import annotations

import gc
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def answering_at_once(app: Any) -> AsyncIterator[None]:
    """The server's lifespan: every connection it accepts sends without waiting."""
    for listening in _listening():
        # Connections inherit this from the socket that accepts them.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    yield


def _listening() -> list[socket.socket]:
    """The TCP sockets of this process that accept connections; nobody hands them out."""
    found = [o for o in gc.get_objects() if isinstance(o, socket.socket) and o.fileno() >= 0]
    return [
        s
        for s in found
        if s.family in (socket.AF_INET, socket.AF_INET6)
        and s.type == socket.SOCK_STREAM
        and s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    ]
