"""The ways to take a profile to another program."""

from __future__ import annotations

from msgspec import Struct

from ortlab.errors import RequestError

ALL_RUNS = "all"
"""What stands for every run where the number of one is asked for."""


class Format(Struct, frozen=True):
    """One way to take a profile away."""

    id: str
    title: str
    about: str
    suffix: str
    of_runs: bool
    """Shows single events, so that a run is chosen; one file. Otherwise several files."""


FORMATS = (
    Format("chrome", "Chrome trace", "For Perfetto, chrome://tracing, and ortlab again.",
           ".json", of_runs=True),
    Format("speedscope", "Speedscope", "The threads of a run, and all runs by module.",
           ".json", of_runs=True),
    Format("model-explorer", "Model Explorer", "Node data that colours the model's graph.",
           ".json", of_runs=False),
    Format("csv", "CSV", "Every table, all columns, in base units.", ".csv", of_runs=False),
)  # fmt: skip
FORMAT_IDS = tuple(f.id for f in FORMATS)


def format_of(kind: str) -> Format:
    """The format with this id.

    Raises:
        RequestError: there is none.
    """
    for found in FORMATS:
        if found.id == kind:
            return found
    raise RequestError(
        f"There is no export '{kind}'.", hint=f"Ask for one of {', '.join(FORMAT_IDS)}."
    )
