"""The path from the model to the module of a node, read off its name or its ONNX metadata.

PyTorch's older exporter writes the path into the name (`/encoder/layer.0/attention/self/MatMul`),
its newer one beside the node (`pkg.torch.onnx.name_scopes`), TensorFlow into the name
(`model/block1/conv/Conv2D`). ONNX Runtime adds its own marks when it fuses, copies, quantizes or
inlines a node; they are taken off first.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

Path = tuple[str, ...]

# A hostile name can hold a million slashes; no model nests modules this deep.
MAX_DEPTH = 32
_MAX_PART_CHARACTERS = 120
_MAX_NAME_CHARACTERS = 2000
_MAX_METADATA_CHARACTERS = 20_000

# What ONNX Runtime puts before the name of the node that it made another from.
_PREFIX = re.compile(
    r"^(?:fused |Inserted\w*Cast_|Conv(?:Bn|Mul|Add|Activation)Fusion_(?:(?:BN|Mul|Add)_)?[WB]_)"
)
_TOKEN = re.compile(r"_token_\d+$")
_LAYOUT = re.compile(r"_(?:nchwc|nhwc)$")
_FUSION = re.compile(r"/(?:\w*Fusion\w*|WithoutBiases|duplicated)?/?$")
_QUANTIZED = re.compile(
    r"(?:_(?:De)?[Qq]uantizeLinear(?:_(?:Output|Input|Clip))?|_quant(?:ized)?|_Q\d+)$"
)
_OUTPUT = re.compile(r"_output_\d+$|:\d+$")
_INLINED_AGAIN = re.compile(r"^_inlfunc_(?P<function>.+?_token_\d+)_(?P<inner>.+)$")
_INLINED = re.compile(r"^_inlfunc_(?P<rest>.+)$")
_CALL_NUMBER = re.compile(r"_token_\d+$")
# TensorFlow wraps the whole model into a call of this name.
_WRAPPER = re.compile(r"^(?:Stateful)?PartitionedCall(?:_\d+)?$")
_IDENTIFIER = re.compile(r"^\w+$")
INLINED = "inlined functions"
"""Stands for a function whose name cannot be told from that of the node in it."""


def module_path(name: str, metadata_scopes: str | Sequence[str] | None = None) -> Path:
    """The modules around a node, outermost first; empty when neither name nor metadata tell.

    Args:
        name: of the node in a profile, or of a tensor that a node computes.
        metadata_scopes: what the node's metadata says, the text of `pkg.torch.onnx.name_scopes`
            or of `namespace`, or a list of names; it goes before the name.
    """
    if metadata_scopes:
        found = scopes_path(metadata_scopes)
        if found:
            return found
    return _parts(name)[0]


def leaf(name: str) -> str:
    """What the node is called inside its module."""
    return _parts(name)[1] or name


def scopes_path(scopes: str | Sequence[str]) -> Path:
    """The path in a node's metadata.

    The names come nested (`['', 'encoder', 'encoder.layer.0', 'linear']`): each repeats the one
    before, and the last is that of the node itself.
    """
    names = _listed(scopes) if isinstance(scopes, str) else [str(name) for name in scopes]
    found: list[str] = []
    before = ""
    for i, name in enumerate(names):
        nested = name.startswith(before + ".") if before else bool(name)
        # A node has no dot in its name where it stands at the root.
        if i == len(names) - 1 and not (nested and (before or "." in name)):
            break
        if name:
            found.append(name[len(before) + 1 :] if before and nested else name)
            before = name
    return _clean(found)


def spellings(name: str) -> Iterator[str]:
    """The name, then what may have been the name of the node or tensor it was made from."""
    seen = {name}
    yield name
    name = name[:_MAX_NAME_CHARACTERS]
    again = _INLINED_AGAIN.match(name) or _INLINED.match(name)
    for start in (name, *([again[again.lastindex or 0]] if again else ())):
        text = start
        for pattern in (_PREFIX, _TOKEN, _FUSION, _TOKEN, _LAYOUT, _QUANTIZED, _OUTPUT):
            text = pattern.sub("", text, count=1)
            if text and text not in seen:
                seen.add(text)
                yield text


def function_of(name: str) -> str | None:
    """The name of the function that a node was inlined from, where its name tells."""
    again = _INLINED_AGAIN.match(name)
    return _CALL_NUMBER.sub("", again["function"]) if again else None


def inlined_path(name: str, functions: Iterable[str]) -> Path | None:
    """The path of a node of a function's first call, whose name only known functions tell."""
    found = _INLINED.match(name)
    if found is None or _INLINED_AGAIN.match(name):
        return None
    for function in sorted(functions, key=len, reverse=True):
        if found["rest"].startswith(function + "_"):
            return _clean([function])
    return None


def _parts(name: str) -> tuple[Path, str]:
    """The path, and the rest of the name."""
    name = name[:_MAX_NAME_CHARACTERS]
    again = _INLINED_AGAIN.match(name)
    if again:
        path, rest = _parts(again["inner"])
        return _clean([again["function"], *path]), rest
    inlined = _INLINED.match(name)
    if inlined:
        path, rest = _split(inlined["rest"])
        return _clean([INLINED, *path]), rest
    return _split(name)


def _split(name: str) -> tuple[Path, str]:
    text = _FUSION.sub("", _PREFIX.sub("", name), count=1)
    if "/" not in text:
        return _dotted(text)
    found = [p.strip() for p in text.split("/", MAX_DEPTH + 1) if p.strip()]
    parts, rest = found[:-1], "".join(found[-1:])
    while parts and _WRAPPER.match(parts[0]):
        parts = parts[1:]
    return _clean(_without_repeats(parts)), rest


def _without_repeats(parts: list[str]) -> list[str]:
    """PyTorch's sequences repeat the name around them: `body/body.0` is `body`, then `0`."""
    return [
        part[len(before) + 1 :] if before and part.startswith(before + ".") else part
        for before, part in zip(["", *parts], parts, strict=False)
    ]


def _dotted(text: str) -> tuple[Path, str]:
    """A parameter's name, `encoder.layer.0.dense.weight`; other names hold no path."""
    parts = text.split(".", MAX_DEPTH + 1)
    # Two parts may be a version or a file ending.
    if len(parts) < 3 or not all(_IDENTIFIER.match(p) for p in parts):
        return (), text
    return _clean(_with_numbers(parts[:-1])), parts[-1]


def _with_numbers(parts: list[str]) -> list[str]:
    """`layer`, `0` together as `layer.0`, as the other exporters write it."""
    found: list[str] = []
    for part in parts:
        if part.isdigit() and found and not found[-1].rpartition(".")[2].isdigit():
            found[-1] = f"{found[-1]}.{part}"
        else:
            found.append(part)
    return found


def _listed(text: str) -> list[str]:
    """The names in the text of a list, or in `name: class/name.inner: class`."""
    if len(text) > _MAX_METADATA_CHARACTERS:
        return []
    if text.lstrip().startswith("["):
        try:
            found = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return []
        return [name for name in found if isinstance(name, str)]
    return [part.partition(":")[0].strip() for part in text.split("/")]


def _clean(parts: Iterable[str]) -> Path:
    """Parts that a link can join with `/` and split again."""
    return tuple(p for p in map(_clean_part, parts) if p)[:MAX_DEPTH]


# The parts of a model's names are few; its nodes are many.
@lru_cache(maxsize=4096)
def _clean_part(part: str) -> str:
    return " ".join(part.replace("/", "\u2215").split())[:_MAX_PART_CHARACTERS].strip()
