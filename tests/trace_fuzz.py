"""Damages real traces at random and holds the reader to its word.

    python -m tests.trace_fuzz --count 20000 --seed 7

For every mutant the reader may raise a `TraceError` and nothing else. What it reads is
compared with a reader of a few lines, which takes the file line by line with `json`:

- an event that this reader finds whole on its line is read, and its time is counted;
- no more events are read than there are whole ones and broken lines;
- no more time is counted than the file has: each event's duration is a `"dur"` of its own,
  so the sum of all sound numbers behind a `"dur"` is the most there can be;
- events are conserved: counted by category, they are the rows, the fences and the rest.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ortlab.errors import TraceError
from ortlab.worker import traces

DATA = Path(__file__).parent / "data"
SOURCES = (
    "cpu_mlp_24runs", "cpu_control_flow", "cpu_parallel_executor", "cpu_concurrent_runs",
    "webgpu_tail",
)  # fmt: skip
# Enough for every kind of event; small, so that twenty thousand mutants take minutes.
MAX_LINES = 60
TEN_YEARS_US = 10 * 365 * 86_400 * 10**6
HOSTILE = (
    b"NaN", b"1e400", b"-5", b'"soon"', b"99999999999999999999", b"null", b"1e3", b"0.5", b"true",
    b"{}", b"[1]", b'""', b"-0", b"3.7",
)  # fmt: skip
GARBAGE = (
    b"", b"{", b"}", b"]", b"[", b"{}", b",", b'"', b"\\", b"\x00\x01", b"\xff\xfe", b'{"cat"',
    b"\r\n\r\n", b'{"cat" : "Node","name" :"x', b"]]}}", b"null", b"x" * 5_000, b'{"a":' * 3_000,
)  # fmt: skip

_NUMBER = re.compile(rb"(?<=:)\s?-?\d+")
_DURATION = re.compile(rb'"dur"\s*:\s*"?(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)')


class Found(NamedTuple):
    """What the reader of a few lines finds."""

    sound: int
    broken: int
    """Events that are not sound, and those that a broken line may hold."""
    node_us: int
    most_us: float


def bases() -> dict[str, bytes]:
    """The beginnings of real traces, in every layout."""
    found: dict[str, bytes] = {}
    for name in SOURCES:
        lines = (DATA / f"{name}.json").read_bytes().splitlines()
        body = [line.rstrip(b",") for line in lines if line.startswith(b"{")]
        # Device events come last.
        body = body[: MAX_LINES - 10] + body[MAX_LINES - 10 :][-10:]
        plain = b"[\n" + b",\n".join(body) + b"\n]\n"
        events = json.loads(plain)
        found[f"{name} lines"] = plain
        found[f"{name} crlf"] = plain.replace(b"\n", b"\r\n")
        found[f"{name} indented"] = json.dumps(events, indent=1).encode()
        found[f"{name} one line"] = json.dumps(events).encode()
        found[f"{name} wrapped"] = b'{"traceEvents": ' + plain + b', "x": 1}'
    return found


def mutant(base: bytes, chance: random.Random) -> bytes:
    """The trace with one to four things done to it."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        base = chance.choice(_MUTATIONS)(base, chance)
    return base


def _cut(text: bytes, chance: random.Random) -> bytes:
    return text[: chance.randrange(len(text) + 1)]


def _flip(text: bytes, chance: random.Random) -> bytes:
    changed = bytearray(text)
    for _ in range(chance.choice((1, 1, 3, 20)) if text else 0):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _on_lines(change: Callable[[list[bytes], random.Random], None]) -> Any:
    def mutate(text: bytes, chance: random.Random) -> bytes:
        lines = text.split(b"\n")
        change(lines, chance)
        return b"\n".join(lines)

    return mutate


def _swap(lines: list[bytes], chance: random.Random) -> None:
    a, b = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]


def _double(lines: list[bytes], chance: random.Random) -> None:
    lines.insert(chance.randrange(len(lines)), chance.choice(lines))


def _drop(lines: list[bytes], chance: random.Random) -> None:
    del lines[chance.randrange(len(lines))]
    lines.append(b"")


def _join(lines: list[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(lines))
    lines[at : at + 2] = [b"".join(lines[at : at + 2])]


def _spoil(lines: list[bytes], chance: random.Random) -> None:
    lines.insert(chance.randrange(len(lines) + 1), chance.choice(GARBAGE))


def _insert(text: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice(GARBAGE) + text[at:]


def _renumber(text: bytes, chance: random.Random) -> bytes:
    places = list(_NUMBER.finditer(text))
    if not places:
        return text
    place = chance.choice(places)
    value = chance.choice((*HOSTILE, str(chance.randrange(-(10**6), 10**12)).encode()))
    return text[: place.start()] + value + text[place.end() :]


_MUTATIONS = (
    _cut, _flip, _flip, _insert, _renumber, _renumber,
    *map(_on_lines, (_swap, _double, _drop, _join, _spoil)),
)  # fmt: skip


def found_by_line(text: bytes) -> Found:
    """What a reader of a few lines finds in this trace."""
    sound = broken = node_us = 0
    for line in text.split(b"\n"):
        body = line.strip(b" \t\r,")
        if not (body.strip(b"[]{} \t") or body.startswith(b"{") or b"{}" in body):
            continue
        events = _parsed(body)
        whole = [event for event in events if _is_sound(event)]
        sound += len(whole)
        # A broken line may hold several events, and some may be read by those who try harder.
        broken += len(events) - len(whole) if events else max(1, line.count(b'"dur"'))
        node_us += sum(_time(event["dur"]) for event in whole if _is_node(event))
    numbers = (float(number) for number in _DURATION.findall(text))
    most = sum(math.ceil(us) for us in numbers if 0 <= us <= TEN_YEARS_US)
    return Found(sound, broken, node_us, most)


def _parsed(line: bytes) -> list[Any]:
    """The events of the line, of the list that it is, or nothing."""
    for body in (line, line.removeprefix(b"[").removesuffix(b"]")):
        try:
            found = json.loads(b"[" + body + b"]", parse_constant=_refuse)
        except (ValueError, RecursionError):
            continue
        if all(isinstance(one, dict) for one in found):
            return list(found)
    return []


def _refuse(word: str) -> None:
    raise ValueError(word)


def _is_sound(event: dict[str, Any]) -> bool:
    name, phase, category = event.get("name"), event.get("ph", "X"), event.get("cat", "")
    if not (isinstance(phase, str) and phase and isinstance(category, str)):
        return False
    if phase != "X":
        return True
    times = (event.get("ts"), event.get("dur"))
    plain = all(type(t) in (int, float) and abs(t) <= TEN_YEARS_US for t in times)
    return plain and event["dur"] >= 0 and isinstance(name, str) and bool(name)


def _is_node(event: dict[str, Any]) -> bool:
    return (
        event.get("cat") == "Node"
        and event.get("ph", "X") == "X"
        and event["name"].endswith("_kernel_time")
    )


def _time(value: float) -> int:
    return round(value)


def check(text: bytes, *, by_line: bool, path: Path) -> str:
    """How the reader took this trace: "read" or "refused".

    Raises:
        AssertionError: it did not keep its word.
    """
    path.write_bytes(text)
    expected = found_by_line(text)
    try:
        table = traces.table(path)
    except TraceError:
        # One that shows that ONNX Runtime wrote it, and is whole, must be read.
        assert not (by_line and expected.node_us), "refused with whole node events in it"
        return "refused"
    facts = table.facts
    node = np.array([one.category == 1 for one in table.signatures] or [False])
    rows = sum(group.count for group in table.groups)
    us = [group.column("dur") for group in table.groups]
    times = [d[node[g.sig[: g.count]]] for d, g in zip(us, table.groups, strict=True)]
    node_us = sum(int(part.sum()) for part in times)
    seen = sum(facts.category_counts.values())
    assert rows == facts.events
    assert seen >= facts.events + facts.fence_count, "events were lost between counts and rows"
    assert min((int(part.min()) for part in us if len(part)), default=0) >= 0
    assert sum(int(part.sum()) for part in us) <= expected.most_us, "time was invented"
    if by_line:
        assert node_us >= expected.node_us, "time of whole events was lost"
        assert expected.sound <= seen <= expected.sound + expected.broken
        assert facts.damaged_count <= expected.broken
        assert seen - expected.sound + facts.damaged_count >= (expected.broken > 0)
    return "read"


def run(count: int, *, seed: int) -> dict[str, int]:
    """How many mutants were read and refused.

    Raises:
        AssertionError: with the number of the mutant, which makes it again.
    """
    texts = bases()
    names = sorted(texts)
    outcomes = {"read": 0, "refused": 0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant.json"
        for number in range(count):
            text, by_line = made(texts, names, seed=seed, number=number)
            try:
                outcomes[check(text, by_line=by_line, path=path)] += 1
            except Exception as error:
                raise AssertionError(f"mutant {number} of seed {seed}: {error!r}") from error
    return outcomes


def made(
    texts: dict[str, bytes], names: list[str], *, seed: int, number: int
) -> tuple[bytes, bool]:
    """One mutant, and whether it has one event per line."""
    chance = random.Random(zlib.crc32(f"{seed} {number}".encode()))
    name = chance.choice(names)
    return mutant(texts[name], chance), name.endswith(("lines", "crlf"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    outcomes = run(options.count, seed=options.seed)
    sys.stdout.write(f"{options.count:,} mutants of seed {options.seed}: {outcomes}\n")


if __name__ == "__main__":
    main()
