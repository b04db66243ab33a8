"""Opening an ONNX Runtime session exactly as a configuration says, and proving that it is so.

Standard library, numpy and onnxruntime only: later this runs under any Python.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from ortlab import errors
from ortlab.worker import providers

LEVEL_ENUM = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}
MAX_LOG_BYTES = 64 << 20
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def import_onnxruntime() -> Any:
    """The onnxruntime module, telemetry off before its first import."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


def session_options(configuration: dict[str, Any]) -> Any:
    """`SessionOptions` with everything but the providers; unknown values are refused.

    Args:
        configuration: `ortlab.domain.configuration.Configuration` as plain data.
    """
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.graph_optimization_level = _level(ort, configuration["level"])
    options.intra_op_num_threads = configuration["threads"]
    options.inter_op_num_threads = configuration["inter_op_threads"]
    parallel = configuration["execution_mode"] == "parallel"
    options.execution_mode = (
        ort.ExecutionMode.ORT_PARALLEL if parallel else ort.ExecutionMode.ORT_SEQUENTIAL
    )
    options.enable_mem_pattern = configuration["memory_pattern"]
    options.enable_cpu_mem_arena = configuration["arena"]
    if not configuration["spinning"]:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    for key, value in configuration["session_config"].items():
        options.add_session_config_entry(key, value)
    return options


def open_session(
    model: str, configuration: dict[str, Any], *, plugins: dict[str, str], options: Any = None
) -> tuple[Any, dict[str, Any]]:
    """A session, and what opening it told: `session_init_us`, `active`.

    Raises:
        ProviderUnavailableError: a provider that was asked for is not among the active ones.
    """
    import_onnxruntime()
    options = options or session_options(configuration)
    session, init_us = providers.timed_session(
        model, options=options, choices=configuration["providers"], plugins=plugins
    )
    return session, {"session_init_us": init_us, "active": session.get_providers()}


def read_log(start: int) -> str:
    """What was printed to stdout and stderr since `start`, colours stripped."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        with Path("worker.log").open("rb") as stream:
            stream.seek(start)
            return _ANSI.sub("", stream.read(MAX_LOG_BYTES).decode("utf-8", "replace"))
    except OSError:
        return ""


def log_position() -> int:
    """Where the log ends now, for `read_log`."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        return Path("worker.log").stat().st_size
    except OSError:
        return 0


def _level(ort: Any, level: str) -> Any:
    enum = getattr(ort.GraphOptimizationLevel, LEVEL_ENUM[level], None)
    if enum is None:
        raise errors.RequestError(
            f"ONNX Runtime {ort.__version__} has no graph optimization level '{level}'.",
            hint="Use `all`, which every version has.",
        )
    return enum
