"""One profiled session: its trace, where ORT placed every node, and the graph it ran.

Never timed: the profiler costs microseconds per node. The unprofiled twin of every profile
is the measurement it stands beside.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ortlab.worker import feeds as feed_files
from ortlab.worker.protocol import Context, Message
from ortlab.worker.sessions import (
    import_onnxruntime,
    log_position,
    open_session,
    read_log,
    session_options,
)
from ortlab.worker.timing import caller

ASSIGNMENT_KEY = "session.record_ep_graph_assignment_info"
# Lines about placement, copies and refused kernels; the rest of a verbose log is noise.
_PLACEMENT = re.compile(
    r"Node\(s\) placed on|All nodes placed on|kernel not found in registries|not supported\. "
    r"Fallback|does not support|Candidate for fallback|Force fallback|Add Memcpy"
    r"|Memcpy nodes are added|were not assigned to the preferred"
    r"|GraphTransformer .* modified: [1-9]"
)
_PLACED_NODE = re.compile(r"\]\s{2,}\S+ \(.*\)$")
MAX_LOG_LINES = 20_000
# ORT's severities: 0 verbose (node placements), 2 warning.
VERBOSE = 0


def profile(request: Message, context: Context) -> Message:
    """Trace, assignment, optimized graph and placement log of one configuration.

    Request: `model`, `configuration`, `feeds`, `plugins`, `runs` (at least 2), `optimized`
    (whether to ask for the optimized graph; compiling providers refuse it).
    Reply: `trace` (path), `assignment` ([[provider, node, op type]…] or null), `log`,
    `optimized` (path or null), `active`.
    """
    configuration = request["configuration"]
    options = session_options(configuration)
    options.enable_profiling = True
    options.profile_file_prefix = str(context.folder / "profile")
    options.log_severity_level = VERBOSE
    options.add_session_config_entry(ASSIGNMENT_KEY, "1")
    optimized = context.folder / "optimized.onnx"
    if request.get("optimized") and _cpu_only(configuration):
        options.optimized_model_filepath = str(optimized)
        _keep_weights_out(options)
    context.phase("session")
    started = log_position()
    session, facts = open_session(
        request["model"], configuration, plugins=request.get("plugins", {}), options=options
    )
    log = _placement_lines(read_log(started))
    assignment = _assignment(session)
    context.phase("profile")
    call = caller(session, feed_files.load(Path(request["feeds"])), configuration)
    for _ in range(max(2, request["runs"])):
        call()
    trace = Path(session.end_profiling())
    return {
        "trace": str(trace) if trace.exists() else None,
        "assignment": assignment,
        "log": log,
        "optimized": str(optimized) if optimized.exists() else None,
        "active": facts["active"],
        "onnxruntime": import_onnxruntime().__version__,
    }


def _cpu_only(configuration: dict[str, Any]) -> bool:
    """Whether the optimized graph can be written: compiled partitions cannot be."""
    names = {choice["name"] for choice in configuration["providers"]}
    return names <= {"CPUExecutionProvider"}


def _keep_weights_out(options: Any) -> None:
    """Structure only: initializers above 1 kB go to a file that is thrown away."""
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_file_name", "optimized.weights"
    )
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_min_size_in_bytes", "1024"
    )


def _assignment(session: Any) -> list[list[str]] | None:
    """(provider, node, op type) of every node as ORT assigned it; None before ORT 1.24."""
    ask = getattr(session, "get_provider_graph_assignment_info", None)
    if ask is None:
        return None
    return [
        [subgraph.ep_name, node.name, node.op_type]
        for subgraph in ask()
        for node in subgraph.get_nodes()
    ]


def _placement_lines(log: str) -> str:
    """The lines of a verbose log that tell about placement, without their time stamps."""
    kept = []
    for line in log.splitlines():
        if _PLACEMENT.search(line) or _PLACED_NODE.search(line):
            kept.append(re.sub(r"^\S+ \S+ \[", "[", line))
        if len(kept) >= MAX_LOG_LINES:
            break
    return "\n".join(kept)
