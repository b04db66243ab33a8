"""Opens sessions on the providers that were asked for, or says in ORT's own words why not.

ONNX Runtime falls back to the CPU silently in five ways; `open_session` turns each of them
into a `ProviderUnavailableError`. Standard library and onnxruntime only: the measuring
processes import this, and later run under other Pythons.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from ortlab.errors import ProviderUnavailableError, RequestError
from ortlab.worker.provider_reasons import boiled, cure

Choice = dict[str, Any]
"""`{"name": ORT's full name, "options": {key: text}}`."""

CPU = "CPUExecutionProvider"
CUDA_FAMILY = frozenset(
    {"CUDAExecutionProvider", "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider"}
)
DEVICE_TYPES = ("CPU", "GPU", "NPU")

# Libraries registered in this process, by module; ORT refuses a second registration.
_registered: dict[str, str] = {}


class Captured:
    """What was printed to the process's stderr, native code included; `text` once it is over."""

    text: str = ""


@contextmanager
def captured_stderr() -> Iterator[Captured]:
    """Everything written to file descriptor 2 meanwhile; it is passed on afterwards."""
    captured = Captured()
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield captured
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            raw = file.read()
            captured.text = raw.decode("utf-8", "replace")
            # On a full disk the log cannot take it; the session must not fail for that.
            with suppress(OSError):
                os.write(2, raw)


def open_session(
    model: str | bytes,
    *,
    options: Any,
    choices: list[Choice],
    plugins: dict[str, str] | None = None,
) -> Any:
    """An open session on which every provider that was asked for is active; see `timed_session`."""
    session, _ = timed_session(model, options=options, choices=choices, plugins=plugins)
    return session


def timed_session(
    model: str | bytes,
    *,
    options: Any,
    choices: list[Choice],
    plugins: dict[str, str] | None = None,
) -> tuple[Any, float]:
    """A session on exactly the providers asked for, and the µs its creation took.

    Registering a plugin and loading CUDA's libraries, once per process, are not counted.

    Args:
        model: path or bytes.
        options: `onnxruntime.SessionOptions`, everything but the providers already set.
        choices: providers in priority order; none means the CPU.
        plugins: module that brings the library, by provider name.

    Raises:
        ProviderUnavailableError: a provider is not active, with ORT's own reason.
        Exception: whatever ORT raises about the model itself.
    """
    import onnxruntime

    providers = session_providers(options, choices, plugins or {})
    refusal: Exception | None = None
    with captured_stderr() as log:
        started = time.perf_counter_ns()
        try:
            session = _open(onnxruntime, model, options, providers)
        except Exception as error:
            refusal = error
        took_us = (time.perf_counter_ns() - started) / 1e3
    if refusal is not None:
        if is_provider_trouble(str(refusal), choices):
            raise _unavailable(choices, log_text=f"{log.text}\n{refusal}") from refusal
        raise refusal
    session.disable_fallback()
    check_active(session, choices, log=log.text)
    return session, took_us


def _open(onnxruntime: Any, model: str | bytes, options: Any, providers: list[Any] | None) -> Any:
    """The session, with Python's own retry on the CPU switched off."""
    with warnings.catch_warnings():
        # "Specified provider is not in available provider names": checked afterwards.
        warnings.simplefilter("ignore", UserWarning)
        if providers is None:
            return onnxruntime.InferenceSession(model, options, enable_fallback=0)
        return onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)


def session_providers(
    session_options: Any, choices: list[Choice], plugins: dict[str, str]
) -> list[tuple[str, dict[str, str]]] | None:
    """What to pass as `providers` to InferenceSession; None when `session_options` holds them.

    Without a plugin among the choices this is ORT's classic list. With one, every choice is
    added to the session options in order, because a `providers` argument would override
    the plugin's devices.

    Raises:
        ProviderUnavailableError: not in this build, or a plugin without a device here.
        RequestError: the same provider twice, or two that exclude each other.
    """
    import onnxruntime

    wanted = choices or [{"name": CPU, "options": {}}]
    _refuse_impossible([c["name"] for c in wanted])
    built_in = set(onnxruntime.get_available_providers())
    if any(c["name"] in CUDA_FAMILY for c in wanted):
        preload_cuda()
    # Once registered, a plugin is listed among the available providers and stays a plugin.
    built_in -= set(_registered.values())
    from_plugins = [c for c in wanted if c["name"] in plugins and c["name"] not in built_in]
    if not from_plugins:
        for choice in wanted:
            _refuse_missing(choice["name"], built_in)
        return [(c["name"], _texts(c)) for c in wanted]
    for choice in wanted:
        if choice in from_plugins:
            add_plugin(session_options, choice, module=plugins[choice["name"]])
        else:
            _add_classic(session_options, choice, built_in)
    return None


def add_plugin(session_options: Any, choice: Choice, *, module: str) -> None:
    """Register the plugin's library and add its device to the session options.

    `device_type` of CPU, GPU or NPU picks among several devices; else the first listed is
    taken, since ORT lists them in the plugin's own order of preference.
    """
    name, options = choice["name"], _texts(choice)
    register_plugin(name, module)
    devices = plugin_devices(name)
    wanted = options.get("device_type", "").upper()
    if wanted in DEVICE_TYPES:
        options.pop("device_type")
        devices = [d for d in devices if d.device.type.name == wanted]
    if not devices:
        raise no_device(name, wanted)
    try:
        session_options.add_provider_for_devices(devices[:1], options)
    except Exception as error:
        raise ProviderUnavailableError(
            f"{name} refused its device or options: {boiled(str(error))}.",
            hint="Check the provider's options.",
        ) from error


def register_plugin(name: str, module: str) -> None:
    """Make a plugin's devices visible in this process; a second time does nothing."""
    import onnxruntime

    if module in _registered:
        return
    try:
        library = str(importlib.import_module(module).get_library_path())
    except ImportError as error:
        raise ProviderUnavailableError(
            f"{name} comes with the module {module}, which is not installed.",
            hint=f"pip install {module.replace('_', '-')}",
        ) from error
    try:
        onnxruntime.register_execution_provider_library(module, library)
    except Exception as error:
        raise ProviderUnavailableError(
            f"The plugin of {name} could not be loaded: {boiled(str(error))}.",
            hint=cure(str(error), name),
        ) from error
    _registered[module] = name


def plugin_devices(name: str) -> list[Any]:
    """The devices ORT lists for one provider, in its order."""
    import onnxruntime

    return [d for d in onnxruntime.get_ep_devices() if d.ep_name == name]


def no_device(name: str, wanted: str = "") -> ProviderUnavailableError:
    """The error for a plugin that loads but finds nothing it can run on."""
    kind = f"{wanted} device" if wanted else "device"
    return ProviderUnavailableError(
        f"{name}: the plugin is installed but offers no {kind} on this machine ({hardware()}).",
        hint="Choose another provider, or run on hardware this one supports.",
    )


def hardware() -> str:
    """The processors ORT itself sees, in words: `CPU AMD`."""
    import onnxruntime

    seen = {f"{d.device.type.name} {d.device.vendor}".strip() for d in onnxruntime.get_ep_devices()}
    return ", ".join(sorted(seen)) or "no device listed"


def check_active(session: Any, choices: list[Choice], *, log: str = "") -> list[str]:
    """The session's active providers, in order.

    Raises:
        ProviderUnavailableError: one that was asked for is not among them.
    """
    active = list(session.get_providers())
    if any(c["name"] not in active for c in choices):
        raise _unavailable(choices, log_text=log, active=active)
    return active


def preload_cuda() -> None:
    """Load CUDA and cuDNN from pip packages or PyTorch, where they are; harmless if absent."""
    import onnxruntime

    preload = getattr(onnxruntime, "preload_dlls", None)
    if preload is None:
        return
    # It prints one line per missing library, which ORT's own refusal says better.
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        preload()


def _add_classic(session_options: Any, choice: Choice, built_in: set[str]) -> None:
    """Add a provider of the build itself, beside a plugin."""
    name = choice["name"]
    _refuse_missing(name, built_in)
    with captured_stderr() as log:
        try:
            session_options.add_provider(name, _texts(choice))
            return
        except Exception as error:
            refused = str(error)
    raise _unavailable([choice], log_text=f"{log.text}\n{refused}")


def _texts(choice: Choice) -> dict[str, str]:
    return {str(k): str(v) for k, v in (choice.get("options") or {}).items()}


def _refuse_impossible(names: list[str]) -> None:
    twice = [n for n in names if names.count(n) > 1]
    if twice:
        raise RequestError(f"{twice[0]} is named twice.", hint="Name each provider once.")
    if {"TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider"} <= set(names):
        raise RequestError(
            "TensorRT and TensorRT RTX cannot share a session.", hint="Ask for one of them."
        )


def _refuse_missing(name: str, built_in: set[str]) -> None:
    if name not in built_in:
        raise ProviderUnavailableError(
            f"{name} is not part of this ONNX Runtime build "
            f"(it has {', '.join(sorted(built_in))}).",
            hint=cure("not part of this build", name),
        )


def _unavailable(
    choices: list[Choice], *, log_text: str, active: list[str] | None = None
) -> ProviderUnavailableError:
    names = [c["name"] for c in choices]
    missing = [n for n in names if n not in (active or []) and n != CPU] or names
    options = [f"{k}={v}" for c in choices if c["name"] in missing for k, v in _texts(c).items()]
    verb = "was" if len(missing) == 1 else "were"
    how = f" with {', '.join(options)}" if options else ""
    where = f", but the session runs on {' and '.join(active)}" if active else ""
    reason = boiled(log_text) or "ONNX Runtime gave no reason"
    return ProviderUnavailableError(
        f"{' and '.join(missing)} {verb} asked for{how}{where}: {reason}.",
        hint="Check the value of the option."
        if "Invalid" in reason and options
        else cure(log_text, missing[0]),
    )


_PROVIDER_TROUBLE = (
    "Error creating execution provider",
    "Unknown Provider Type",
    "CreateExecutionProviderFactoryInstance",
    "RegisterTensorRTPluginsAsCustomOps",
    "Failed to load library",
    "LoadLibrary failed",
    "CUDA failure",
    "CUDA error",
    "cudaSetDevice",
    "CUDA_PATH is set",
    "GPU is supported",
    "provider options",
    "ProviderOptions",
    "Invalid value for",
    "EP_FAIL",
)


def is_provider_trouble(text: str, choices: list[Choice]) -> bool:
    """Whether ORT refused a provider, rather than the model."""
    if all(c["name"] == CPU for c in choices):
        return False
    return any(mark in text for mark in _PROVIDER_TROUBLE)
