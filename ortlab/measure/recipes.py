"""One configuration as a TOML file that a person can read, change and give back."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from ortlab.catalog import providers as catalog
from ortlab.catalog.options import nearest
from ortlab.domain.configuration import Configuration, ProviderChoice
from ortlab.errors import RequestError
from ortlab.measure import provider_text

MAX_RECIPE_BYTES = 1 << 20
_HINT = "A recipe is a small TOML file, as `ortlab` exports one."
_TABLES = ("dims", "session_config")
_FIELDS = tuple(f.name for f in msgspec.structs.fields(Configuration))
_HEADER = "# One ONNX Runtime configuration. Use it with: ortlab bench MODEL --config THIS_FILE\n"


def write_recipe(configuration: Configuration) -> str:
    """The configuration as TOML: every setting, options of providers as tables."""
    lines = [_HEADER]
    for name in _FIELDS:
        value = getattr(configuration, name)
        if name not in ("providers", *_TABLES):
            lines.append(f"{name} = {_toml(value)}")
    for name in _TABLES:
        lines += _table(f"[{name}]", getattr(configuration, name))
    for choice in configuration.providers:
        row = catalog.BY_NAME.get(choice.name)
        lines += ["", "[[providers]]", f"name = {_toml(row.short if row else choice.name)}"]
        lines += [f"options.{_toml(k)} = {_toml(v)}" for k, v in sorted(choice.options.items())]
    return "\n".join(lines) + "\n"


def read_recipe(path: Path) -> Configuration:
    """The configuration that a recipe file describes; what it leaves out is the default.

    Threads left out are 0: as many as the machine has that the recipe is planned for.

    Raises:
        RequestError: not readable, not TOML, an unknown key, or a value of another kind.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_RECIPE_BYTES:
            raise RequestError(f"'{path}' is no recipe file, or too large for one.", hint=_HINT)
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(
            f"The recipe '{path}' cannot be read: {error.strerror}.", hint="Check its name."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"{path.name} is not TOML: {error}.", hint=_HINT) from None
    return _configuration(data, name=path.name)


def _configuration(data: dict[str, Any], *, name: str) -> Configuration:
    for key in data:
        if key not in _FIELDS:
            like = nearest(key, _FIELDS)
            raise RequestError(
                f"{name}: there is no setting '{key}'.",
                hint=f"Did you mean {like}?" if like else f"There are {', '.join(_FIELDS)}.",
            )
    fields = {k: v for k, v in data.items() if k not in ("providers", "session_config")}
    fields.setdefault("threads", 0)
    if "providers" in data:
        fields["providers"] = _providers(data["providers"], name=name)
    if "session_config" in data:
        entries = data["session_config"]
        if not isinstance(entries, dict):
            raise RequestError(f"{name}: session_config is not a table.")
        fields["session_config"] = {k: _text(v) for k, v in entries.items()}
    try:
        return msgspec.convert(msgspec.to_builtins(fields), Configuration)
    except msgspec.ValidationError as error:
        # msgspec ends with the path: "Expected `int`, got `str` - at `$.threads`".
        what, _, where = str(error).partition(" - at `$.")
        raise RequestError(f"{name}: {where.rstrip('`') or 'a value'}: {what}.") from None


def _providers(value: Any, *, name: str) -> list[ProviderChoice]:
    """Tables with `name` and `options`, texts as on the command line, or both mixed."""
    found: list[ProviderChoice] = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            found += provider_text.choices(item)
        elif isinstance(item, dict) and isinstance(item.get("name"), str):
            row = catalog.find(item["name"])
            options = {str(k): _text(v) for k, v in _options(item, name=name).items()}
            found.append(ProviderChoice(row.name, catalog.validate_options(row.name, options)))
        else:
            raise RequestError(f"{name}: providers: {item!r} has no name.")
    return found


def _options(item: dict[str, Any], *, name: str) -> dict[str, Any]:
    options = item.get("options", {})
    extra = [k for k in item if k not in ("name", "options")]
    if extra:
        raise RequestError(
            f"{name}: providers: there is no setting '{extra[0]}'.",
            hint="A provider has a name and options.",
        )
    if not isinstance(options, dict):
        raise RequestError(f"{name}: providers: options of {item['name']} are not a table.")
    return options


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _table(head: str, entries: dict[str, Any]) -> list[str]:
    if not entries:
        return []
    return ["", head, *(f"{_toml(k)} = {_toml(v)}" for k, v in sorted(entries.items()))]


def _toml(value: Any) -> str:
    """A TOML literal; JSON's strings are TOML's basic strings."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
