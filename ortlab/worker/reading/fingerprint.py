"""The id of a model, in a second at any size; the recipe is in docs/method.md, "Model ids"."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

WHOLE_BELOW_BYTES = 64 << 20
BLOCK_BYTES = 4096
MAX_RUNS = 4096
# Fewer, larger reads: each lets the other thread go on, and waits up to 5 ms to come back.
_READ_BYTES = 8 << 20

Span = tuple[int, int]


class DataFile(Struct):
    """One external data file: what the model calls it, where it is, and its tensors' spans."""

    location: str
    path: Path | None
    bytes: int | None
    spans: list[Span]


class Fingerprint:
    """The id of one model; a graph file below 64 MiB is hashed while the caller walks it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256(b"ortlab model 1\n")
        self._whole: threading.Thread | None = None
        if path.stat().st_size < WHOLE_BELOW_BYTES:
            self._whole = threading.Thread(target=self._graph, args=((),), daemon=True)
            self._whole.start()

    def model_id(self, payloads: Sequence[Span], data: Sequence[DataFile]) -> str:
        """Sha-256, in hexadecimal, over the graph file and the external data.

        Args:
            payloads: start and end of every run of tensor bytes in the graph file, in order.
            data: the external data files.
        """
        if self._whole is not None:
            self._whole.join()
        else:
            self._graph(_large(payloads))
        _update_all(self._digest, data)
        return self._digest.hexdigest()

    def _graph(self, large: Sequence[Span]) -> None:
        with self._path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            _update(self._digest, file, _gaps(large, size))
            self._digest.update(b"\n%d\n" % size)
            _update(self._digest, file, _samples(large, MAX_RUNS))


def _update_all(digest: hashlib._Hash, data: Sequence[DataFile]) -> None:
    whole = sum(part.bytes or 0 for part in data) < WHOLE_BELOW_BYTES
    for part in sorted(data, key=lambda part: part.location):
        digest.update(f"\n{part.location}\n{part.bytes}\n".encode())
        if part.path is not None and part.bytes is not None:
            _update_data(digest, part, whole=whole, max_runs=max(MAX_RUNS // len(data), 1))


def _update_data(digest: hashlib._Hash, part: DataFile, *, whole: bool, max_runs: int) -> None:
    assert part.path is not None
    assert part.bytes is not None
    size = part.bytes
    inside = sorted({(a, min(b, size)) for a, b in part.spans if 0 <= a < min(b, size)})
    spans = [(0, size)] if whole else list(_samples([(0, size), *inside], max_runs))
    with part.path.open("rb", buffering=0) as file:
        _update(digest, file, spans)


def _large(payloads: Sequence[Span]) -> list[Span]:
    """Runs that are sampled; smaller ones are hashed with what lies around them."""
    return sorted(span for span in payloads if span[1] - span[0] > 3 * BLOCK_BYTES)


def _gaps(spans: Sequence[Span], size: int) -> Iterator[Span]:
    position = 0
    for start, end in spans:
        yield position, start
        position = max(position, end)
    yield position, size


def _samples(spans: Sequence[Span], limit: int) -> Iterator[Span]:
    """First, middle and last block of each run; of very many runs, evenly chosen ones."""
    step = max(1, -(-len(spans) // limit))
    for start, end in spans[::step]:
        middle = (start + end - BLOCK_BYTES) // 2
        for at in (start, max(middle, start), max(end - BLOCK_BYTES, start)):
            yield at, min(at + BLOCK_BYTES, end)


def _update(digest: hashlib._Hash, file: BinaryIO, spans: Iterator[Span] | list[Span]) -> None:
    # Reads, not the memory map: touching a mapped page makes 64 KiB around it resident.
    for start, end in spans:
        file.seek(start)
        while start < end:
            block = file.read(min(end - start, _READ_BYTES))
            if not block:
                return
            digest.update(block)
            start += len(block)
