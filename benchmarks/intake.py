"""What inspecting costs: time from the request to the answer, and memory over the interpreter.

The worker is started and has answered once before the clock starts; importing what inspecting
needs is inside it, as in a worker that is started for one model. Weights are holes in sparse
files: their bytes are read as zeros, and there are as many as stated.
"""

from __future__ import annotations

import compileall
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.rows import Row, publish
from ortlab.sandbox.limits import Limits
from ortlab.sandbox.spawn import Child

ROOT = Path(__file__).resolve().parents[1]
MAX_MS = 150
MAX_MIB = 64
# The best of these is what it costs; the others tell of neighbours.
REPEATS = 7


def rows() -> Iterator[Row]:
    """One row per model."""
    # As an installation does; workers write no bytecode themselves.
    compileall.compile_dir(ROOT / "ortlab", quiet=2)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for name, path in (
            ("400 MB inside", transformer(folder / "a.onnx", layers=24, weight_bytes=2_780_000)),
            ("1.9 GB inside", transformer(folder / "b.onnx", layers=48, weight_bytes=6_600_000)),
            ("10 GB outside", transformer(folder / "c.onnx", layers=80, weight_bytes=20_900_000,
                                          external=True)),
            ("5,000 nodes", transformer(folder / "d.onnx", layers=417, weight_bytes=16_384)),
        ):  # fmt: skip
            ms, mib = inspected(path, folder)
            yield Row(f"inspect {name}: time", f"{ms:.0f} ms", f"<= {MAX_MS} ms", ms <= MAX_MS)
            yield Row(f"inspect {name}: memory over the interpreter", f"{mib:.1f} MiB",
                      f"<= {MAX_MIB} MiB", mib <= MAX_MIB)  # fmt: skip
            for file in folder.glob(f"{path.stem}.*"):
                file.unlink()


def inspected(path: Path, folder: Path) -> tuple[float, float]:
    """The fewest milliseconds, and the most MiB, of several fresh workers."""
    times, sizes = [], []
    for i in range(REPEATS):
        limits = Limits(lifetime_s=120)
        with Child(folder / f"{path.stem}-worker-{i}", limits=limits) as child:
            child.ask("ping", timeout_s=60)
            before = memory_kib(child.pid, "VmRSS")
            start = time.perf_counter()
            answer = child.ask("inspect", {"path": str(path)}, timeout_s=60)
            times.append((time.perf_counter() - start) * 1e3)
            sizes.append((memory_kib(child.pid, "VmHWM") - before) / 1024)
        assert answer["flops"], "the model was not understood"
    return min(times), max(sizes)


def memory_kib(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def transformer(path: Path, *, layers: int, weight_bytes: int, external: bool = False) -> Path:
    """A chain of twelve nodes and six weights a layer, every inner shape declared."""
    width = int((weight_bytes / 4) ** 0.5)
    size = width * width * 4
    nodes, values, weights = [], [], []
    last, data_at = "x", 0
    for i in range(layers):
        for j in range(6):
            name = f"/encoder/layer.{i}/part.{j}"
            weights.append((f"{name}/weight", size, data_at))
            data_at += size
            nodes.append(node("MatMul", f"{name}/MatMul", [last, f"{name}/weight"]))
            nodes.append(node("Add", f"{name}/Add", [f"{name}/MatMul_output_0", "x"]))
            values += [value(f"{name}/{op}_output_0", width) for op in ("MatMul", "Add")]
            last = f"{name}/Add_output_0"
    nodes.append(node("Softmax", "last", [last], integers={"axis": -1}))
    graph = [field(1, n) for n in nodes] + [field(2, b"main")]
    ends = [field(11, value("x", width)), field(12, value("last_output_0", width))]
    ends += [field(13, v) for v in values]
    write(path, graph, ends, weights=weights, width=width, external=external)
    if external:
        with path.with_suffix(".data").open("wb") as file:
            file.truncate(data_at)
    return path


def write(
    path: Path, graph: list[bytes], ends: list[bytes], *, weights: list[tuple[str, int, int]],
    width: int, external: bool,
) -> None:  # fmt: skip
    """The model file, weights inside as holes or outside as references."""
    heads = [tensor_head(path, weight, width, external=external) for weight in weights]
    inside = [0 if external else size for _, size, _ in weights]
    total = sum(map(len, graph + ends)) + sum(
        len(key(5, len(head) + hole)) + len(head) + hole
        for head, hole in zip(heads, inside, strict=True)
    )
    with path.open("wb") as file:
        file.write(b"\x08\x0a" + field(8, b"\x10\x11") + key(7, total) + b"".join(graph))
        for head, hole in zip(heads, inside, strict=True):
            file.write(key(5, len(head) + hole) + head)
            file.seek(hole, 1)
        file.write(b"".join(ends))


def tensor_head(path: Path, weight: tuple[str, int, int], width: int, *, external: bool) -> bytes:
    name, size, offset = weight
    head = 2 * (b"\x08" + varint(width)) + b"\x10\x01" + field(8, name.encode())
    if not external:
        return head + key(9, size)
    entries = {"location": path.with_suffix(".data").name, "offset": offset, "length": size}
    for word, entry in entries.items():
        head += field(13, field(1, word.encode()) + field(2, str(entry).encode()))
    return head + b"\x70\x01"


def node(op: str, name: str, inputs: list[str], *, integers: dict[str, int] | None = None) -> bytes:
    body = b"".join(field(1, text.encode()) for text in inputs)
    body += field(2, f"{name}_output_0".encode()) + field(3, name.encode()) + field(4, op.encode())
    for word, number in (integers or {}).items():
        body += field(5, field(1, word.encode()) + b"\x18" + varint(number % (1 << 64))
                      + b"\xa0\x01\x02")  # fmt: skip
    return body


def value(name: str, width: int) -> bytes:
    """A float tensor of batch x 128 x width."""
    dims = field(1, field(2, b"batch")) + field(1, b"\x08" + varint(128))
    shape = field(2, dims + field(1, b"\x08" + varint(width)))
    return field(1, name.encode()) + field(2, field(1, b"\x08\x01" + shape))


def field(number: int, content: bytes) -> bytes:
    return key(number, len(content)) + content


def key(number: int, size: int) -> bytes:
    return varint(number << 3 | 2) + varint(size)


def varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


if __name__ == "__main__":
    publish(rows())
