"""A measured configuration as a recipe that `ortlab bench --config` takes."""

from __future__ import annotations

from pathlib import Path

from ortlab.domain.study import ConfigurationResult
from ortlab.export.folder import writing
from ortlab.measure.recipes import write_recipe


def write(result: ConfigurationResult, *, folder: Path) -> list[Path]:
    """The one file written into `folder`, named by the configuration's id.

    Args:
        result: the row to keep.
        folder: where to write; made when missing.
    """
    path = folder / f"{result.id}.toml"
    with writing(folder):
        path.write_text(write_recipe(result.configuration), encoding="utf-8")
    return [path]
