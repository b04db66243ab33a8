"""What this ONNX Runtime is and can do, found by trying: nothing is believed because it is listed.

Standard library, numpy and onnxruntime only: other builds are probed under their own Python.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Callable
from typing import Any

from ortlab.errors import OrtlabError
from ortlab.worker import provider_reasons, providers
from ortlab.worker.protocol import Context

Request = dict[str, Any]

# Packages that all bring the same `onnxruntime` folder and overwrite each other.
BUILDS = (
    "onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino",
    "onnxruntime-webgpu", "onnxruntime-migraphx", "onnxruntime-rocm", "onnxruntime-training",
    "onnxruntime-vitisai", "onnxruntime-silicon", "onnxruntime-coreml", "ort-nightly",
    "ort-nightly-gpu",
)  # fmt: skip
# Far above anything released: the ends of the search for the newest version that opens.
_IR_RANGE = (3, 64)
_OPSET_RANGE = (7, 128)


def ping(_request: Request, _context: Context) -> dict[str, Any]:
    """That the worker answers, and which Python it is."""
    return {"pong": True, "python": sys.version.split()[0]}


def probe(request: Request, context: Context) -> dict[str, Any]:
    """Versions, providers listed, devices, and the newest IR and opset that open here.

    Args:
        request: `plugins`, module names to register before devices are listed.
        context: the worker's.
    """
    onnxruntime = _import_onnxruntime()
    context.phase("probe")
    listed = list(onnxruntime.get_available_providers())
    installed = installed_builds()
    return {
        "python": sys.version.split()[0],
        "onnxruntime_version": onnxruntime.__version__,
        "package": _package(installed),
        "conflict": _conflict(installed),
        "providers": listed,
        "plugins": {module: _plugin(module) for module in request.get("plugins", [])},
        "devices": devices(),
        "max_ir_version": newest(lambda ir: tiny_model(ir=ir), *_IR_RANGE),
        "max_opset": newest(lambda opset: tiny_model(opset=opset), *_OPSET_RANGE),
        "build_info": _build_info(onnxruntime),
    }


def try_provider(request: Request, context: Context) -> dict[str, Any]:
    """Whether a session really runs on one provider here, or the exact reason why not.

    Args:
        request: `provider` (ORT's full name), `options`, `plugin` (module, or None).
        context: the worker's.
    """
    name = request["provider"]
    module = request.get("plugin")
    context.phase("session")
    answer: dict[str, Any] = {"loadable": False, "active": [], "reason": None, "hint": None}
    try:
        answer["active"] = _run_on(name, request.get("options") or {}, module)
        answer["loadable"] = True
    except OrtlabError as error:
        answer |= {"reason": reason_of(error.message), "hint": error.hint}
    except Exception as error:  # ORT raises many kinds; each is this provider's answer
        text = str(error)
        answer |= {
            "reason": provider_reasons.boiled(text),
            "hint": provider_reasons.cure(text, name),
        }
    answer["devices"] = [_describe(d) for d in _ep_devices() if d.ep_name == name]
    return answer


def reason_of(message: str) -> str:
    """The reason inside a refusal: what stands after its first colon, if it has one."""
    _, colon, reason = message.partition(": ")
    return (reason if colon else message).rstrip(".")


def installed_builds() -> dict[str, str]:
    """Version of every installed package that brings the `onnxruntime` folder, by name."""
    found = {}
    for name in BUILDS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def devices() -> list[dict[str, str]]:
    """Every device that ORT lists, of built-in and registered providers."""
    return [
        {"provider": d.ep_name, "type": d.device.type.name, "vendor": d.device.vendor,
         "name": _describe(d)}
        for d in _ep_devices()
    ]  # fmt: skip


def newest(model: Callable[[int], bytes], lowest: int, highest: int) -> int | None:
    """The largest version between the two whose model opens; None when none does.

    Opening is monotonous: a runtime reads every version up to its own.
    """
    if not opens(model(lowest)):
        return None
    low, high = lowest, highest
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if opens(model(middle)) else (low, middle)
    return low


def opens(model: bytes) -> bool:
    """Whether a CPU session can be made of these bytes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        onnxruntime.InferenceSession(model, options, providers=[providers.CPU])
    except Exception:  # the answer is no, whatever the reason
        return False
    return True


def tiny_model(*, ir: int = 8, opset: int = 13) -> bytes:
    """An ONNX file: y = Relu(x) on four floats, in the wire format of protobuf."""
    node = _text(1, "x") + _text(2, "y") + _text(3, "relu") + _text(4, "Relu")
    graph = _block(1, node) + _text(2, "tiny") + _block(11, _value("x")) + _block(12, _value("y"))
    return _number(1, ir) + _block(7, graph) + _block(8, _number(2, opset))


def _value(name: str) -> bytes:
    """A float tensor of shape [4], as ValueInfoProto."""
    shape = _block(1, _number(1, 4))
    return _text(1, name) + _block(2, _block(1, _number(1, 1) + _block(2, shape)))


def _number(field: int, value: int) -> bytes:
    return bytes([field << 3]) + _varint(value)


def _block(field: int, content: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _block(field, text.encode())


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _run_on(name: str, options: dict[str, str], module: str | None) -> list[str]:
    """Active providers after one real run: some libraries load and fail at the first kernel."""
    onnxruntime = _import_onnxruntime()
    import numpy as np

    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = 1
    session = providers.open_session(
        tiny_model(),
        options=session_options,
        choices=[{"name": name, "options": options}],
        plugins={name: module} if module else {},
    )
    session.run(None, {"x": np.ones(4, np.float32)})
    return list(session.get_providers())


def _import_onnxruntime() -> Any:
    """The module, telemetry off before its first import."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


def _plugin(module: str) -> dict[str, Any]:
    """One plugin library: its version, its provider names, or why it does not register."""
    try:
        loaded = importlib.import_module(module)
    except ImportError:
        return {"installed": False, "version": None, "providers": [], "reason": None}
    names = [str(n) for n in loaded.get_ep_names()]
    reason = None
    try:
        providers.register_plugin(names[0] if names else module, module)
    except OrtlabError as error:
        reason = reason_of(error.message)
    version = _version(module.replace("_", "-"))
    return {"installed": True, "version": version, "providers": names, "reason": reason}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _ep_devices() -> list[Any]:
    """Devices as ORT lists them; none before 1.23, which cannot tell."""
    import onnxruntime

    listing = getattr(onnxruntime, "get_ep_devices", None)
    return list(listing()) if listing else []


def _describe(device: Any) -> str:
    """`GPU NVIDIA H200`: type, vendor, and whatever name the metadata holds."""
    metadata = dict(device.device.metadata) | dict(device.ep_metadata)
    name = metadata.get("Description") or metadata.get("device_name") or ""
    return " ".join(f"{device.device.type.name} {device.device.vendor} {name}".split())


def _package(installed: dict[str, str]) -> str:
    return " + ".join(installed) or "onnxruntime (not installed as a package)"


def _conflict(installed: dict[str, str]) -> str | None:
    if len(installed) < 2:
        return None
    named = " and ".join(f"{name} {version}" for name, version in installed.items())
    return (
        f"{named} are installed together and overwrite each other's files; "
        "uninstall both, then install one."
    )


def _build_info(onnxruntime: Any) -> str:
    info = getattr(onnxruntime, "get_build_info", None)
    return str(info()) if info else ""
