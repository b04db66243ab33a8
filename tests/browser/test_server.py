"""What the server answers to anybody who asks without a browser."""

from __future__ import annotations

import http.client
import json
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from ortlab import __version__
from tests.browser.conftest import Server

pytestmark = pytest.mark.browser


class Answer(NamedTuple):
    """One answer, read whole."""

    status: int
    policy: str
    body: bytes


def ask(server: Server, path: str, *, host: str | None = None) -> Answer:
    """The answer to one request; `host` stands in its Host header."""
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": host} if host else {})
        found = connection.getresponse()
        policy = found.getheader("content-security-policy") or ""
        return Answer(found.status, policy, found.read())
    finally:
        connection.close()


def test_health_names_the_version(server: Server) -> None:
    assert json.loads(ask(server, "/api/health").body) == {
        "status": "ok",
        "ortlab_version": __version__,
    }


def test_progress_of_an_unknown_study_is_404_with_a_sentence(server: Server) -> None:
    answer = ask(server, "/api/jobs/nosuch")
    assert answer.status == 404
    assert "nosuch" in json.loads(answer.body)["error"]["message"]


@pytest.mark.parametrize("path", ["/", "/results", "/api/health", "/_stcore/health"])
def test_a_foreign_host_name_is_refused_everywhere(server: Server, path: str) -> None:
    answer = ask(server, path, host="evil.example:80")
    assert answer.status == 421
    assert b"ORTLAB_ALLOWED_HOSTS" in answer.body


@pytest.mark.parametrize("host", ["localhost", "localhost:8501", "127.0.0.1", "[::1]:8501"])
def test_every_name_of_this_machine_is_answered(server: Server, host: str) -> None:
    assert ask(server, "/api/health", host=host).status == 200


@pytest.mark.parametrize("path", ["/", "/api/health", "/history"])
def test_pictures_and_scripts_may_come_from_this_server_only(server: Server, path: str) -> None:
    policy = ask(server, path).policy
    assert "img-src 'self' data: blob:" in policy
    assert "default-src 'self'" in policy
    assert "http:" not in policy
    assert "https:" not in policy
