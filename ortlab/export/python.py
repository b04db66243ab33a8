"""A measured configuration as a Python script that needs numpy and onnxruntime only."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from ortlab.catalog import providers as provider_table
from ortlab.catalog.levels import BY_ID as LEVELS
from ortlab.domain import units
from ortlab.domain.configuration import Configuration
from ortlab.domain.study import ConfigurationResult
from ortlab.export.folder import writing

SCRIPT_NAME = "run_model.py"
FEEDS_NAME = "feeds.npz"
_CUDA_FAMILY = {"CUDAExecutionProvider", "TensorrtExecutionProvider"}


def write(
    result: ConfigurationResult,
    *,
    model_name: str,
    folder: Path,
    onnxruntime_version: str | None = None,
    feeds: Path | None = None,
) -> list[Path]:
    """The files written into `folder`: the script, and the feeds beside it where given.

    Args:
        result: the row to reproduce.
        model_name: file name of the model; the script looks for it beside itself.
        folder: where to write; made when missing.
        onnxruntime_version: what the row was measured with.
        feeds: the `.npz` the row was measured on.
    """
    script = folder / SCRIPT_NAME
    code = python_code(result, model_name=model_name, onnxruntime_version=onnxruntime_version)
    with writing(folder):
        script.write_text(code, encoding="utf-8")
        if feeds is None:
            return [script]
        shutil.copyfile(feeds, folder / FEEDS_NAME)
    return [script, folder / FEEDS_NAME]


def _literal(value: object) -> str:
    """The value as JSON that is Python too: no pairs of escapes for letters beyond 16 bits."""
    return json.dumps(value, ensure_ascii=False)


def python_code(
    result: ConfigurationResult, *, model_name: str, onnxruntime_version: str | None = None
) -> str:
    """A complete script that opens, checks and runs the session as it was measured."""
    c = result.configuration
    quantized = c.variant == "dynamic-int8"
    parts = [
        _docstring(result, model_name, onnxruntime_version),
        _IMPORTS,
        _constants(c, model_name=model_name, dims=result.dims or c.dims),
        _session_options(c),
        _OPEN.replace("@PRELOAD@", _PRELOAD if _CUDA_FAMILY & set(c.provider_names) else ""),
        _FEEDS,
        _QUANTIZE if quantized else "",
        _CALL_BOUND if c.io_binding else _CALL,
        _MAIN.replace("@MODEL@", "quantized(arguments.model)" if quantized else "arguments.model"),
    ]
    return "\n\n".join(part.strip("\n") + "\n" for part in parts if part)


def _docstring(result: ConfigurationResult, model_name: str, version: str | None) -> str:
    needs = ["numpy", f"onnxruntime {version}" if version else "onnxruntime"]
    needs += ["onnx"] * (result.configuration.variant == "dynamic-int8")
    needs += [_plugin_package(name) for name in _plugins(result.configuration)]
    lines = [
        f"Runs {_plain(model_name)} as ortlab measured it: {_plain(result.label)}.",
        "",
        *_measured(result),
        f"Needs {', '.join(needs)}.",
        "",
        f"    python {SCRIPT_NAME} [--model FILE.onnx] [--input FEEDS.npz] [--runs 100]",
    ]
    return '"""' + "\n".join(lines) + '\n"""'


def _measured(result: ConfigurationResult) -> list[str]:
    if result.latency is None:
        return []
    low, high = (_plain(units.time(us)) for us in result.latency.ci95_us)
    median = _plain(units.time(result.latency.p50_us))
    count = units.count(result.latency.count)
    return [f"Measured: median {median}, 95 % interval {low} to {high}, {count} runs."]


def _plain(text: str) -> str:
    """Text that cannot end a docstring or start an escape, whatever a file is called."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return printable.replace(units.THIN, " ").replace("\\", "/").replace('"', "'")


def _plugins(c: Configuration) -> dict[str, str]:
    known = provider_table.PLUGIN_MODULES
    return {name: known[name] for name in c.provider_names if name in known}


def _plugin_package(name: str) -> str:
    return provider_table.BY_NAME[name].package


def _constants(c: Configuration, *, model_name: str, dims: dict[str, int]) -> str:
    """Literals by JSON, whose texts, numbers and objects are Python's too."""
    chosen = [[p.name, p.options] for p in c.providers]
    return "\n".join([
        f"MODEL = {_literal(model_name)}",
        f"PROVIDERS = {_literal(chosen)}",
        f"PLUGINS = {_literal(_plugins(c))}",
        f"DIMS = {_literal(dims)}",
    ])  # fmt: skip


def _session_options(c: Configuration) -> str:
    mode = "ORT_PARALLEL" if c.execution_mode == "parallel" else "ORT_SEQUENTIAL"
    entries = dict(c.session_config)
    if not c.spinning:
        entries |= {
            "session.intra_op.allow_spinning": "0",
            "session.inter_op.allow_spinning": "0",
        }
    lines = [
        "def session_options() -> ort.SessionOptions:",
        '    """Everything but the providers."""',
        "    options = ort.SessionOptions()",
        f"    options.graph_optimization_level = ort.GraphOptimizationLevel.{LEVELS[c.level].enum}",
        f"    options.intra_op_num_threads = {c.threads}",
        f"    options.inter_op_num_threads = {c.inter_op_threads}",
        f"    options.execution_mode = ort.ExecutionMode.{mode}",
        f"    options.enable_mem_pattern = {c.memory_pattern}",
        f"    options.enable_cpu_mem_arena = {c.arena}",
        *(
            f"    options.add_session_config_entry({_literal(key)}, {_literal(value)})"
            for key, value in entries.items()
        ),
        "    return options",
    ]
    return "\n".join(lines)


_IMPORTS = """
from __future__ import annotations

import argparse
import importlib
import os
import statistics
import time
from pathlib import Path

# The wheels report home unless this is set before the import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime as ort
"""

_PRELOAD = """    # CUDA and cuDNN from pip packages, where they are.
    ort.preload_dlls()
"""

_OPEN = '''
def open_session(model: str) -> ort.InferenceSession:
    """The session, on the providers above or not at all."""
    options = session_options()
@PRELOAD@    for module in PLUGINS.values():
        library = importlib.import_module(module).get_library_path()
        ort.register_execution_provider_library(module, str(library))
    if PLUGINS:
        for name, settings in PROVIDERS:
            add_provider(options, name, dict(settings))
        # `providers` stays unset: it would override what the options hold.
        session = ort.InferenceSession(model, options, enable_fallback=0)
    else:
        providers = [(name, settings) for name, settings in PROVIDERS]
        session = ort.InferenceSession(model, options, providers=providers, enable_fallback=0)
    missing = [name for name, _ in PROVIDERS if name not in session.get_providers()]
    if missing:
        raise SystemExit(f"{missing[0]} is not active; active are {session.get_providers()}.")
    return session


def add_provider(options: ort.SessionOptions, name: str, settings: dict[str, str]) -> None:
    """Adds a plugin by its device, any other provider by its name."""
    if name not in PLUGINS:
        options.add_provider(name, settings)
        return
    kind = settings.get("device_type", "").upper()
    if kind in ("CPU", "GPU", "NPU"):
        del settings["device_type"]
    devices = [
        device for device in ort.get_ep_devices()
        if device.ep_name == name and kind in ("", device.device.type.name)
    ]
    if not devices:
        raise SystemExit(f"{name} has no device on this machine.")
    options.add_provider_for_devices(devices[:1], settings)
'''

_FEEDS = '''
def feeds(session: ort.InferenceSession, path: str | None) -> dict[str, np.ndarray]:
    """The arrays of an `.npz`, or made ones: noise for floats, ones for everything else."""
    if path:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    random = np.random.default_rng(0)
    return {i.name: made(i.type, [size(d) for d in i.shape], random) for i in session.get_inputs()}


def size(dimension: int | str | None) -> int:
    """A fixed size, the value of a symbolic one, or 1."""
    if isinstance(dimension, str) and dimension not in DIMS:
        raise SystemExit(f"Dimension {dimension!r} has no value: add it to DIMS.")
    return DIMS[dimension] if isinstance(dimension, str) else dimension or 1


def made(kind: str, shape: list[int], random: np.random.Generator) -> np.ndarray:
    """One input of ORT's type `tensor(...)`."""
    name = kind.removeprefix("tensor(").removesuffix(")")
    name = {"float": "float32", "double": "float64"}.get(name, name)
    if name == "string":
        return np.full(shape, "a", dtype=object)
    try:
        dtype = np.dtype(name)
    except TypeError:
        raise SystemExit(f"An input of type {kind} is not made here: use --input.") from None
    if dtype.kind == "f":
        return random.standard_normal(shape).astype(dtype)
    return np.ones(shape, dtype)
'''

_QUANTIZE = '''
def quantized(model: str) -> str:
    """The path of the int8 form, made beside the model once: MatMul and Gemm weights."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    source = Path(model)
    target = source.with_name(f"{source.stem}.dynamic-int8.onnx")
    if not target.exists():
        quantize_dynamic(
            source, target, op_types_to_quantize=["MatMul", "Gemm"], weight_type=QuantType.QInt8
        )
    return str(target)
'''

_CALL = '''
def caller(session: ort.InferenceSession, inputs: dict[str, np.ndarray]):
    """A function that runs the model once."""
    return lambda: session.run(None, inputs)
'''

_CALL_BOUND = '''
def caller(session: ort.InferenceSession, inputs: dict[str, np.ndarray]):
    """A function that runs the model once, inputs and outputs bound."""
    device = "cuda" if PROVIDERS[0][0].startswith(("CUDA", "Tensorrt")) else "cpu"
    binding = session.io_binding()
    # The binding does not own its values: they must live as long as it does.
    values = {n: ort.OrtValue.ortvalue_from_numpy(a, device, 0) for n, a in inputs.items()}
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    for output in session.get_outputs():
        binding.bind_output(output.name, device)

    def call(kept=values):
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return binding.copy_outputs_to_cpu()

    return call
'''

_MAIN = '''
def main() -> None:
    """Runs the model and prints what it did."""
    here = Path(__file__).parent
    beside = here / "feeds.npz"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(here / MODEL))
    parser.add_argument("--input", default=str(beside) if beside.exists() else None)
    parser.add_argument("--runs", type=int, default=100)
    arguments = parser.parse_args()
    session = open_session(@MODEL@)
    call = caller(session, feeds(session, arguments.input))
    outputs = call()
    latencies = []
    for _ in range(arguments.runs):
        started = time.perf_counter_ns()
        call()
        latencies.append((time.perf_counter_ns() - started) / 1e3)
    print("providers:", ", ".join(session.get_providers()))
    for info, value in zip(session.get_outputs(), outputs):
        print(f"output {info.name}: {getattr(value, 'dtype', type(value).__name__)} "
              f"{getattr(value, 'shape', '')}")
    if latencies:
        print(f"median of {len(latencies)} runs: {statistics.median(latencies):.1f} us")


if __name__ == "__main__":
    main()
'''
