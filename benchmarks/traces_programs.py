"""Programs that read a trace, each in a process of its own: what it found, and what it cost.

`python -m benchmarks.traces_programs NAME TRACE ANSWER.json`. The clock starts once the
program's libraries are imported; answers are put into a common form after it has stopped.

- `loop_sums`, `loop_table`: what anybody writes first: `json.load` and a loop.
- `transformers`: ORT's own `onnxruntime.transformers.profile_result_processor`, as installed.
- `explorer`: the steps of ORT's `profile_explorer` (whole file, split at runs, filters, records
  of strings for host and device, pandas frames, sums by operator), written anew because the
  tool is not part of the wheel; of all runs, where the tool by default leaves the first out.
- `ortlab_sums`, `ortlab_table`: ortlab's reader; `ortlab_store` writes what ortlab keeps.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

SUFFIX = "_kernel_time"
_PROC = Path("/proc/self")
_AXES = [f"{what}_{axis}" for what in ("block", "grid") for axis in "xyz"]
Answer = dict[str, Any]


def loop_sums(path: Path) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
    def run() -> dict[tuple[str, str], list[int]]:
        with path.open(encoding="utf-8") as file:
            events = json.load(file)
        sums: dict[tuple[str, str], list[int]] = {}
        for event in events:
            if event["cat"] == "Node" and event["name"].endswith(SUFFIX):
                arguments = event["args"]
                found = sums.setdefault((arguments["op_name"], arguments["provider"]), [0, 0])
                found[0] += 1
                found[1] += event["dur"]
        return sums

    return run, _sums


def loop_table(path: Path) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
    def shape(tensors: list[dict[str, list[int]]] | None) -> str | None:
        if tensors is None:
            return None
        return " ".join(f"{t}[{','.join(map(str, d))}]" for p in tensors for t, d in p.items())

    def number(text: str | None) -> int | None:
        return None if text is None else int(text)

    def run() -> list[tuple[Any, ...]]:
        with path.open(encoding="utf-8") as file:
            events = json.load(file)
        rows = []
        for event in events:
            arguments, name = event["args"], event["name"]
            if event["cat"] == "Node":
                name = name.removesuffix(SUFFIX)
            rows.append((
                event["ts"], event["dur"], event["pid"], event["tid"], event["cat"], name,
                arguments.get("op_name"), arguments.get("provider"),
                number(arguments.get("node_index")), number(arguments.get("parameter_size")),
                number(arguments.get("activation_size")), number(arguments.get("output_size")),
                shape(arguments.get("input_type_shape")) or None,
                shape(arguments.get("output_type_shape")) or None,
            ))  # fmt: skip
        return rows

    return run, _rows


def transformers(path: Path) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
    import argparse
    import importlib.util

    package = importlib.util.find_spec("onnxruntime")
    assert package
    assert package.submodule_search_locations
    file = Path(package.submodule_search_locations[0], "transformers/profile_result_processor.py")
    spec = importlib.util.spec_from_file_location("profile_result_processor", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    options = argparse.Namespace(threshold=0.01, kernel_time_only=False)

    def answer(lines: list[str]) -> Answer:
        """Read back from its last table: kernel µs, share, calls, mean, provider, operator."""
        begin = max(i for i, line in enumerate(lines) if line.startswith("Grouped by provider"))
        cells = [[c.strip() for c in line.split("\t")] for line in lines[begin + 3 :]]
        return _sums({(c[5], f"{c[4]}ExecutionProvider"): [int(c[2]), int(c[0])] for c in cells})

    return lambda: module.process_results(str(path), options), answer


def explorer(path: Path) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
    import pandas as pd

    def run() -> Any:
        with path.open(encoding="utf-8") as file:
            events = json.load(file)
        ends = [i for i, event in enumerate(events) if event.get("name") == "model_run"]
        frame, device = (pd.DataFrame(part) for part in _explorer_rows(events[: ends[-1]]))
        frame["count"] = device["count"] = 1
        frame["pct"] = 100 * frame["duration"] / frame["duration"].sum()
        sums = frame[["name", "duration", "pct", "count"]].groupby(["name"]).sum().reset_index()
        sums = sums.sort_values(by="duration", ascending=False)
        sums["cumulative_pct"] = sums["pct"].cumsum()
        sums["cumulative_dur"] = sums["duration"].cumsum()
        sums.round(2).to_string(index=False)
        return sums

    def answer(sums: Any) -> Answer:
        rows = zip(sums["name"], sums["count"], sums["duration"], strict=True)
        return {"operators": {name: [int(count), int(us)] for name, count, us in rows}}

    return run, answer


def _explorer_rows(events: list[dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    """Records of node events and of kernels, each event asked for all it may have."""
    host, device = [], []
    for event in events:
        category, duration, arguments = (event.get(k) for k in ("cat", "dur", "args"))
        if category is None or duration is None or arguments is None:
            continue
        name, operator = event["name"], arguments.get("op_name")
        if not (_wanted(name) or operator is None or _wanted(operator)):
            continue
        if category != "Kernel" and not name.endswith("kernel_time"):
            continue
        launch = [arguments.get(axis, -1) for axis in _AXES]
        if category == "Kernel":
            dimensions = "_".join(map(str, launch))
            device.append({"name": name, "duration": duration, "op_name": operator,
                           "dimensions": dimensions})  # fmt: skip
            continue
        shapes = (_explorer_shape(arguments[f"{end}_type_shape"]) for end in ("input", "output"))
        host.append({"name": operator, "duration": duration, "input_type_shape": next(shapes),
                     "output_type_shape": next(shapes)})  # fmt: skip
    return host, device


def _wanted(_: str) -> bool:
    """A filter that lets everything through is asked all the same."""
    return True


def _explorer_shape(tensors: list[dict[str, list[int]]]) -> str:
    parts = []
    for tensor in tensors:
        if len(tensor) > 1:
            raise ValueError(tensor)
        ((kind, sizes),) = tensor.items()
        parts.append(f"{kind}_{'x'.join(str(size) for size in sizes)}")
    return "__".join(parts)


def ortlab_sums(path: Path) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
    from ortlab.worker import traces

    return lambda: traces.aggregate(path), _sums


def ortlab_table(path: Path) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
    from ortlab.worker import traces

    def rows(table: Any) -> Iterable[tuple[Any, ...]]:
        kept = [
            (table.facts.categories[s.category], s.name, s.op_type, s.provider, s.node_index,
             s.parameter_bytes, s.activation_bytes, s.output_bytes, s.input_shapes,
             s.output_shapes)
            for s in table.signatures
        ]  # fmt: skip
        for group in table.groups:
            columns = [group.column(name).tolist() for name in ("ts", "dur", "lane")]
            signatures = group.sig[: group.count].tolist()
            for ts, dur, lane, sig in zip(*columns, signatures, strict=True):
                yield (ts, dur, *table.lanes[lane][:2], *kept[sig])

    return lambda: traces.table(path, wanted=traces.PLAIN), lambda table: _rows(rows(table))


def ortlab_store(path: Path) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
    from ortlab.worker import traces

    out = path.with_suffix(".parquet")
    return lambda: traces.decode(path, out), lambda facts: {"events": facts.events}


def _sums(sums: dict[tuple[Any, Any], Any]) -> Answer:
    operators: dict[str, list[int]] = {}
    for (operator, _), (calls, time_us) in sums.items():
        found = operators.setdefault(operator, [0, 0])
        found[0] += calls
        found[1] += time_us
    pairs = {f"{op} {provider}": list(found) for (op, provider), found in sums.items()}
    return {"pairs": pairs, "operators": operators}


def _rows(rows: Iterable[tuple[Any, ...]]) -> Answer:
    """The number of rows, and a digest of all their cells in order."""
    digest, count = hashlib.sha256(), 0
    for row in rows:
        digest.update(repr(row).encode())
        count += 1
    return {"rows": count, "digest": digest.hexdigest()}


def _memory_bytes(field: str) -> int:
    lines = (_PROC / "status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def main(name: str, path: Path, out: Path) -> None:
    run, answer = globals()[name](path)
    (_PROC / "clear_refs").write_text("5", encoding="ascii")  # the peak from now on
    before, started, used = _memory_bytes("VmRSS"), time.perf_counter(), time.process_time()
    found = run()
    cost = {
        "cpu_s": time.process_time() - used,
        "wall_s": time.perf_counter() - started,
        "memory_bytes": _memory_bytes("VmHWM") - before,
    }
    out.write_text(json.dumps({**cost, "answer": answer(found)}), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
