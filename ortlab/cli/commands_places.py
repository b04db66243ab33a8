"""`ortlab machine`, `ortlab history` and `ortlab app`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

import ortlab
from ortlab.cli import documents, options, screen
from ortlab.errors import RequestError

ADDRESS = "127.0.0.1"
PORT = 8501

Noise = Annotated[
    bool, typer.Option("--noise", help="Measure a sample model against itself, some seconds.")
]
Peaks = Annotated[
    bool, typer.Option("--peaks", help="Measure what it reaches at best, once, some seconds.")
]
Refresh = Annotated[bool, typer.Option("--refresh", help="Try and measure everything again.")]
Text = Annotated[str | None, typer.Argument(metavar="[TEXT]", help="In title, model or id.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most this many.")]
Port = Annotated[
    int, typer.Option("--port", metavar="N", min=1, max=65535, help="Port of 127.0.0.1.")
]


def machine(
    noise: Noise = False,
    peaks: Peaks = False,
    refresh: Refresh = False,
    as_json: options.Json = False,
) -> None:
    """Show this computer, and which providers work on it or why not."""
    import msgspec

    from ortlab import Lab

    lab = Lab.open()
    report = lab.machine(noise=noise, refresh=refresh)
    if peaks:
        report = msgspec.structs.replace(report, peaks=lab.peaks(refresh=refresh))
    if as_json:
        screen.show(documents.machine(report))
        return
    from ortlab.cli import tables

    screen.out().print(tables.machine(report))


def history(text: Text = None, limit: Limit = 200, as_json: options.Json = False) -> None:
    """List the studies on this disk, newest first."""
    from ortlab import Lab

    studies = Lab.open().history(text, limit=limit)
    if as_json:
        screen.show(documents.history(studies))
        return
    from ortlab.cli import tables

    screen.out().print(tables.history(studies))


def dashboard(port: Port = PORT) -> int:
    """Start the dashboard, for this computer only; Ctrl+C ends it."""
    script = Path(ortlab.__file__).parents[1] / "app.py"
    if not script.is_file():
        raise RequestError(
            f"The dashboard's script '{script}' is not there.",
            hint="`ortlab app` needs the checkout of ortlab, installed with pip install -e .",
        )
    check_port_is_free(port)
    command = [sys.executable, "-m", "streamlit", "run", script.name,
               "--server.address", ADDRESS, "--server.port", str(port)]  # fmt: skip
    # Streamlit reads .streamlit/config.toml of the folder it starts in.
    os.chdir(script.parent)
    if sys.platform != "win32":
        os.execv(sys.executable, command)
    return subprocess.call(command)


def check_port_is_free(port: int) -> None:
    """Raise when somebody listens there already.

    Raises:
        RequestError: naming the port.
    """
    try:
        socket.create_server((ADDRESS, port)).close()
    except OSError as error:
        raise RequestError(
            f"Port {port} of {ADDRESS} cannot be used: {os.strerror(error.errno or 0)}.",
            hint=f"Stop what runs there, or choose another: ortlab app --port {port % 65535 + 1}.",
            kind="port_in_use",
        ) from None
