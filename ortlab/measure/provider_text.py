"""Provider texts such as `tensorrt:trt_fp16_enable=1,cuda` as choices, and back."""

from __future__ import annotations

import re

from ortlab.catalog import providers as catalog
from ortlab.domain.configuration import CPU, ProviderChoice
from ortlab.domain.machine import ProviderState, Runtime
from ortlab.errors import RequestError

AUTO = "auto"
_OPEN, _CLOSE = "{[(", ")]}"


def choices(
    text: str, *, runtime: Runtime | None = None, from_page: bool = False
) -> tuple[ProviderChoice, ...]:
    """The providers that one text asks for, in priority order, options checked.

    Args:
        text: `cpu`, `cuda:device_id=0;use_tf32=0`, `tensorrt,cuda`, `auto`, or ORT's names.
        runtime: what is loadable, for `auto`; and the version that options must suit.
        from_page: refuse options that name files or load code.

    Raises:
        RequestError: unknown provider or option, a wrong value, or two that cannot be together.
    """
    if text.strip().lower() == AUTO:
        return automatic(runtime)[0]
    version = runtime.onnxruntime_version if runtime else None
    found = tuple(_choice(part, version=version, from_page=from_page) for part in _split_list(text))
    return checked_together(found)


def checked_together(found: tuple[ProviderChoice, ...]) -> tuple[ProviderChoice, ...]:
    """The same choices, once it is sure that they can share a session.

    Raises:
        RequestError: none, one named twice, or two that exclude each other.
    """
    if not found:
        raise RequestError("No provider is named.", hint="Name one, for example cpu.")
    names = [c.name for c in found]
    for name in names:
        if names.count(name) > 1:
            raise RequestError(
                f"{catalog.label(name)} is named twice in one list.",
                hint="Name each provider once; repeat --provider to compare two settings of it.",
            )
        row = catalog.BY_NAME.get(name)
        clash = next((n for n in names if row and n in row.exclusive_with), None)
        if clash:
            raise RequestError(
                f"{catalog.label(name)} and {catalog.label(clash)} cannot share a session.",
                hint="Measure them as two configurations.",
            )
    return found


def automatic(runtime: Runtime | None) -> tuple[tuple[ProviderChoice, ...], str]:
    """What `auto` means on this machine, and why in one sentence.

    The fastest kind of hardware that a session opened on, by the catalog's rank; a GPU
    provider that only found a software device does not count. It says nothing about this
    model: only measuring does.
    """
    states = runtime.providers if runtime else ()
    ranked = sorted(
        (row.auto_rank, state.name)
        for state in states
        if (row := catalog.BY_NAME.get(state.name)) and row.auto_rank is not None
        if state.loadable and not _software_only(row, state)
    )
    name = ranked[0][1] if ranked else CPU
    label = catalog.label(name)
    if name == CPU:
        return (ProviderChoice(CPU),), "auto means CPU: no other provider is loadable here."
    passed = ", ".join(catalog.label(n) for _, n in ranked[1:])
    return (ProviderChoice(name),), f"auto means {label}: it is loadable here, as are {passed}."


def text_of(found: tuple[ProviderChoice, ...]) -> str:
    """The text that `choices` would read as these; short names where there are any."""
    return ",".join(_one_text(c) for c in found)


def _one_text(choice: ProviderChoice) -> str:
    row = catalog.BY_NAME.get(choice.name)
    short = row.short if row else choice.name
    options = ";".join(f"{k}={v}" for k, v in sorted(choice.options.items()))
    return f"{short}:{options}" if options else short


def _choice(text: str, *, version: str | None, from_page: bool) -> ProviderChoice:
    name, colon, rest = text.partition(":")
    row = catalog.find(name)
    given: dict[str, str] = {}
    for part in _split(rest, ";") if colon else ():
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise RequestError(
                f"{part!r} in {text!r} is not an option.",
                hint="Options are written name=value, joined by ';'.",
            )
        given[key.strip()] = value.strip()
    options = catalog.validate_options(row.name, given, ort_version=version, from_page=from_page)
    return ProviderChoice(row.name, options)


def _split_list(text: str) -> list[str]:
    """The parts of a comma list; a comma inside an option's value does not end it.

    After a provider with options, a comma counts only before another provider's name,
    because shapes are written with commas too.
    """
    parts: list[str] = []
    for piece in _split(text, ","):
        inside_value = bool(parts) and ":" in parts[-1] and not _names_provider(piece)
        if inside_value:
            parts[-1] += "," + piece
        else:
            parts.append(piece)
    return [p.strip() for p in parts if p.strip()]


def _names_provider(piece: str) -> bool:
    word = re.split(r"[:;=]", piece, maxsplit=1)[0]
    try:
        catalog.find(word)
    except RequestError:
        return False
    return True


def _split(text: str, separator: str) -> list[str]:
    """Parts between separators that stand outside brackets and double quotes."""
    parts, depth, quoted = [""], 0, False
    for letter in text:
        if letter == '"':
            quoted = not quoted
        elif not quoted:
            depth += (letter in _OPEN) - (letter in _CLOSE)
        if letter == separator and depth <= 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    return parts if any(p.strip() for p in parts) else []


def _software_only(row: catalog.Provider, state: ProviderState) -> bool:
    return (
        row.asynchronous
        and bool(state.devices)
        and all(d.upper().startswith("CPU") for d in state.devices)
    )
