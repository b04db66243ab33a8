"""The raw observations of a study: every block of every session, as they were timed."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

# The baseline measured a second time, under this name, is the A/A control.
AA_TWIN = "aa"

Latencies = NDArray[np.int64]


class Block(Struct, frozen=True, kw_only=True):
    """One turn of one session. `latency_ns` holds the counted runs in order."""

    member: str
    """Configuration id, or `aa` for the baseline's twin."""
    process: int
    session: int
    """Counts sessions of this member over all processes."""
    round: int
    cpu_ns: int
    wall_ns: int
    latency_ns: Sequence[int]
    """A packed `array` while measuring: a short run leaves millions of them."""


class Session(Struct, frozen=True, kw_only=True):
    """All turns of one session: its latencies (ns, in order) and CPU time per run (ns)."""

    member: str
    process: int
    session: int
    latency_ns: Latencies
    cpu_per_run_ns: float
    cpu_share: float
    """CPU time ÷ wall time of the counted runs."""


def sessions(blocks: list[Block], member: str) -> list[Session]:
    """The sessions of one member, in the order they were opened."""
    return by_member([b for b in blocks if b.member == member]).get(member, [])


def by_member(blocks: list[Block]) -> dict[str, list[Session]]:
    """The sessions of every member, in the order they were opened."""
    grouped: dict[str, dict[int, list[Block]]] = {}
    for block in blocks:
        if block.latency_ns:
            grouped.setdefault(block.member, {}).setdefault(block.session, []).append(block)
    return {
        member: [_session(member, number, mine[number]) for number in sorted(mine)]
        for member, mine in grouped.items()
    }


def _session(member: str, number: int, blocks: list[Block]) -> Session:
    latencies = np.concatenate([np.asarray(b.latency_ns, np.int64) for b in blocks])
    per_run = [b.cpu_ns / len(b.latency_ns) for b in blocks]
    return Session(
        member=member,
        process=blocks[0].process,
        session=number,
        latency_ns=latencies,
        cpu_per_run_ns=float(np.median(per_run)),
        cpu_share=sum(b.cpu_ns for b in blocks) / max(1, sum(b.wall_ns for b in blocks)),
    )


def write(blocks: list[Block], path: Path) -> None:
    """Keep the blocks as Parquet: one row a block, its latencies as a list."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = ("member", "process", "session", "round", "cpu_ns", "wall_ns", "latency_ns")
    columns = {name: [getattr(b, name) for b in blocks] for name in fields}
    columns["latency_ns"] = [list(b.latency_ns) for b in blocks]
    pq.write_table(pa.table(columns, schema=_schema()), path, compression="zstd")


def read(path: Path) -> list[Block]:
    """The blocks that `write` kept."""
    import pyarrow.parquet as pq

    rows = pq.read_table(path, schema=_schema()).to_pylist()
    return [Block(**{**row, "latency_ns": array("q", row["latency_ns"])}) for row in rows]


def latencies_us(path: Path, member: str) -> list[float]:
    """Every latency of one configuration, µs, in the order observed."""
    return [ns / 1e3 for b in read(path) if b.member == member for ns in b.latency_ns]


def _schema() -> object:
    import pyarrow as pa

    return pa.schema(
        [
            ("member", pa.string()),
            ("process", pa.int32()),
            ("session", pa.int32()),
            ("round", pa.int32()),
            ("cpu_ns", pa.int64()),
            ("wall_ns", pa.int64()),
            ("latency_ns", pa.list_(pa.int64())),
        ]
    )
