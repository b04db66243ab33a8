"""What the tests of the worker share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ortlab.sandbox.limits import default_limits
from ortlab.sandbox.spawn import Child
from tests.feeding import Worker


@pytest.fixture(scope="module")
def feeding_child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """One real worker process for the feeds of a whole file of tests."""
    folder = tmp_path_factory.mktemp("feeds")
    with Child(folder, limits=default_limits()) as started:
        yield started


@pytest.fixture
def worker(feeding_child: Child, tmp_path: Path) -> Worker:
    """That process, with a folder of its own for this test's model."""
    return Worker(feeding_child, tmp_path)
