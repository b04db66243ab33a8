"""The `ortlab` command: argv in, an exit code out; the one place where errors become text."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer import main as typer_main
from typer.exceptions import TyperException

import ortlab
from ortlab.cli import (
    commands_bench,
    commands_compare,
    commands_model,
    commands_places,
    commands_profile,
    screen,
)
from ortlab.errors import MeasurementError, OrtlabError, RequestError, StoreError

# A pipe whose reader went away, as in `ortlab history | head`: what was asked for was given.
_BROKEN_PIPE_EXIT = 0
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)

COMMANDS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "inspect": (commands_model.inspect, (
        "ortlab inspect model.onnx",
        "ortlab inspect model.zip --json",
    )),
    "fix": (commands_model.fix, (
        "ortlab fix model.onnx -o repaired.onnx",
        "ortlab fix model.onnx -o repaired.onnx --only lower-ir",
    )),
    "machine": (commands_places.machine, (
        "ortlab machine",
        "ortlab machine --noise --json",
    )),
    "bench": (commands_bench.bench, (
        "ortlab bench model.onnx --level disabled --level all",
        "ortlab bench model.onnx --variant fp32 --variant dynamic-int8 --profile",
        "ortlab bench model.onnx -p cpu -p openvino -t 1 -t 2 --precision 1% --json",
        "ortlab bench model.onnx -p cuda:use_tf32=0 --dim batch=8 --seconds 30",
    )),
    "profile": (commands_profile.profile, (
        "ortlab profile model.onnx --level all --steady",
        "ortlab profile onnxruntime_profile.json --top 20 --json",
    )),
    "placement": (commands_profile.placement, (
        "ortlab placement model.onnx --provider cuda",
        "ortlab placement model.onnx --provider openvino --json",
    )),
    "compare": (commands_compare.compare, (
        "ortlab compare before.json after.json",
        "ortlab compare k3m9x2ab q7f4w8cd --json",
        "ortlab compare k3m9x2ab onnxruntime_profile.json --top 30",
    )),
    "history": (commands_places.history, (
        "ortlab history",
        "ortlab history resnet --limit 20 --json",
    )),
    "app": (commands_places.dashboard, (
        "ortlab app",
        "ortlab app --port 8600",
    )),
}  # fmt: skip
"""Every command, with the examples that end its help."""


def _lines(title: str, examples: Sequence[str]) -> str:
    """A paragraph that help shows line by line."""
    return "\b\n" + "\n".join([title, *(f"  {line}" for line in examples)])


app = typer.Typer(
    name="ortlab",
    help="Which setting of ONNX Runtime runs this model fastest here, and why?",
    epilog=_lines("Examples, and more in `ortlab COMMAND --help`:", [
        "ortlab inspect model.onnx",
        "ortlab bench model.onnx --level disabled --level all",
        "ortlab profile model.onnx",
        "ortlab app",
    ]),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
for _name, (_command, _examples) in COMMANDS.items():
    app.command(_name, epilog=_lines("Examples:", _examples))(_command)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ortlab {ortlab.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options before any command."""


def main() -> None:
    """Run the command of this process and end it with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """The exit code of the contract for these arguments."""
    as_json = "--json" in arguments
    try:
        return _guarded(lambda: _invoke(_as_text(arguments)), as_json=as_json)
    except BrokenPipeError:
        screen.silence_stdout()
        return _BROKEN_PIPE_EXIT


def _as_text(arguments: Sequence[str]) -> list[str]:
    """The arguments, once each is text that JSON and the store can hold.

    Raises:
        RequestError: naming one that is not.
    """
    for argument in arguments:
        shown = argument.encode("utf-8", "replace").decode()
        if shown != argument:
            raise RequestError(
                f"'{shown}' is not text in UTF-8.", hint="Rename the file, or type it anew."
            )
    return list(arguments)


def _invoke(arguments: list[str]) -> Any:
    command = typer_main.get_command(app)
    try:
        return command.main(args=arguments, prog_name="ortlab", standalone_mode=False)
    except SystemExit as ending:
        # Typer ends the process itself when a pipe breaks.
        if isinstance(ending.__context__, BrokenPipeError):
            raise ending.__context__ from None
        raise


def _guarded(action: Callable[[], Any], *, as_json: bool) -> int:
    """The exit code of an action, whatever it raises."""
    try:
        code = action()
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        raise
    except Exception as error:  # the command line's edge: everything becomes an exit code here
        problem = as_ortlab_error(error)
        if problem is None:
            traceback.print_exc()
            problem = OrtlabError(f"A bug in ortlab: {type(error).__name__}: {error}", kind="bug",
                                  hint="Please report it with the lines above.")  # fmt: skip
    except KeyboardInterrupt:
        problem = MeasurementError("Cancelled from the keyboard.", kind="cancelled")
    screen.complain(problem, as_json=as_json)
    return problem.exit_code


def as_ortlab_error(error: Exception) -> OrtlabError | None:
    """The error as one of ours; None when it is a bug."""
    if isinstance(error, OrtlabError):
        return error
    if isinstance(error, TyperException):
        return _usage(error)
    if isinstance(error, typer.Abort):
        return MeasurementError("Cancelled from the keyboard.", kind="cancelled")
    if isinstance(error, OSError) and error.errno in _FULL_DISK:
        return StoreError(
            f"The disk is full: '{error.filename or 'a file'}' could not be written.",
            hint="Free some space, or point ORTLAB_HOME at another disk.",
            kind="disk_full",
        )
    return None


def _usage(error: Any) -> RequestError:
    """What Typer refuses, as a sentence with a hint."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "ortlab"
    message = " ".join(error.format_message().split())
    sentence = message if message.endswith((".", "?", "!")) else message + "."
    return RequestError(sentence, hint=f"See `{command} --help`.", kind="usage")
