"""Opening an ONNX Runtime session exactly as a configuration says, and proving that it is so.

Standard library, numpy and onnxruntime only: later this runs under any Python.
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from ortlab import errors
from ortlab.worker.providers import session_providers

LEVEL_ENUM = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
# Lines of ORT's log that say why a provider or a node is not where it was asked to be.
_REASON = re.compile(
    r"Failed to create|cannot open shared object|Failed to load|not supported|fallback|Fallback"
    r"|no CUDA-capable|EP Error|is not available|driver version",
)


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
    """A session, and what opening it told: `session_init_us`, `active`, `log`.

    Raises:
        ProviderUnavailableError: a provider that was asked for is not among the active ones.
    """
    ort = import_onnxruntime()
    options = options or session_options(configuration)
    requested = [choice["name"] for choice in configuration["providers"]]
    log_start = _log_position()
    providers = session_providers(options, configuration["providers"], plugins)
    arguments = {} if providers is None else {"providers": providers}
    started = time.perf_counter_ns()
    try:
        # enable_fallback=0: otherwise a provider that fails is silently replaced by the CPU.
        session = ort.InferenceSession(model, options, enable_fallback=0, **arguments)
    except Exception as error:
        raise _as_provider_error(error, requested, read_log(log_start)) from error
    init_us = (time.perf_counter_ns() - started) / 1e3
    active = session.get_providers()
    log = read_log(log_start)
    check_active(requested, active, log)
    return session, {"session_init_us": init_us, "active": active, "log": log}


def check_active(requested: list[str], active: list[str], log: str) -> None:
    """Every provider asked for is active, or an error with ORT's own reason."""
    missing = [name for name in requested if name not in active]
    if not missing:
        return
    reason = reason_line(log)
    because = f" ONNX Runtime says: {reason}" if reason else ""
    raise errors.ProviderUnavailableError(
        f"{missing[0]} was asked for, but the session runs on {', '.join(active)} only.{because}",
        hint="See what this machine can use with `ortlab machine`.",
    )


def reason_line(log: str) -> str:
    """The most telling line of ORT's log, without time stamps and colours; may be empty."""
    lines = [line for line in log.splitlines() if _REASON.search(line)]
    lines.sort(key=lambda line: "cannot open shared object" not in line)
    if not lines:
        return ""
    text = re.sub(r"^.*?\] ", "", lines[0]) if "[" in lines[0] else lines[0]
    return " ".join(text.split())[:400]


def read_log(start: int) -> str:
    """What was printed to stdout and stderr since `start`, colours stripped."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        with Path("worker.log").open("rb") as stream:
            stream.seek(start)
            return _ANSI.sub("", stream.read(1 << 22).decode("utf-8", "replace"))
    except OSError:
        return ""


def _log_position() -> int:
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


def _as_provider_error(error: Exception, requested: list[str], log: str) -> Exception:
    """ORT's refusal as a provider error when a provider other than the CPU caused it."""
    if isinstance(error, errors.OrtlabError):
        return error
    text = " ".join(str(error).split())
    others = [name for name in requested if name != "CPUExecutionProvider"]
    blamed = [n for n in others if n in text or n.removesuffix("ExecutionProvider").lower()
              in text.lower()]  # fmt: skip
    if not blamed and not re.search(r"provider option|Unknown provider|EP_FAIL|EPFail", text):
        return error
    reason = text[:400] or reason_line(log)
    return errors.ProviderUnavailableError(
        f"{(blamed or others or requested)[0]} could not be used: {reason}",
        hint="See what this machine can use with `ortlab machine`.",
    )
