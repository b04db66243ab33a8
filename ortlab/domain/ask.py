"""A question as a person puts it, before it is checked and multiplied into configurations."""

from __future__ import annotations

from msgspec import Struct

from ortlab.domain.configuration import Configuration
from ortlab.domain.study import StopRule


class Ask(Struct, frozen=True, kw_only=True):
    """What the form, the command line and `Lab.bench` all produce. Tuples make a grid.

    `providers` are texts as the command line takes them: `cpu`, `cuda:device_id=0`,
    `tensorrt,cuda`, `auto`, or ORT's full name; a comma list is a priority order, further
    options of one provider are joined by `;`, as in `cuda:device_id=0;use_tf32=0`:

        providers = "auto" | provider {"," provider}
        provider  = name [":" option {";" option}]
        option    = key "=" value

    A value may hold commas, and anything inside brackets or double quotes.
    `threads` of 0 means: as many as the container really has. `configurations`, where
    given, are measured in addition to the grid (recipe files, *Try it*, re-runs).
    """

    providers: tuple[str, ...] = ("cpu",)
    levels: tuple[str, ...] = ("all",)
    variants: tuple[str, ...] = ("fp32",)
    runtimes: tuple[str, ...] = ("default",)
    threads: tuple[int, ...] = (0,)
    inter_op_threads: int = 1
    execution_mode: str = "sequential"
    memory_pattern: bool = True
    arena: bool = True
    spinning: bool = True
    io_binding: bool = False
    dims: dict[str, int] = {}
    batch: int | None = None
    session_config: dict[str, str] = {}
    configurations: tuple[Configuration, ...] = ()
    only_configurations: bool = False
    """Measure `configurations` alone, without the grid."""
    baseline: str | None = None
    """A configuration id or an index into the grid; None takes the first."""
    stop: StopRule = StopRule()
    seed: int = 0
    profile: bool = False
    input_npz: str | None = None
    """Path of the user's own feeds."""
    title: str = ""
    tried_finding: str | None = None
    from_page: bool = False
    """Put by a web page: options that name files or load code are refused."""
