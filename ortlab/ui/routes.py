"""The plain HTTP answers: is the server there, how far is a study, what is in a timeline.

A poll through these costs about 2 ms; the same through a page script costs 50 ms, which
would show in the measurement that runs beside it. So: no pandas, no Plotly, no Streamlit.
"""

from __future__ import annotations

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ortlab import __version__
from ortlab.errors import OrtlabError, as_dict
from ortlab.ui import door

FRESH = {"cache-control": "no-store"}
_BAD_REQUEST, _NOT_FOUND = 400, 404


async def health(request: Request) -> Response:
    """`{"status": "ok"}` and the version."""
    return JSONResponse({"status": "ok", "ortlab_version": __version__}, headers=FRESH)


async def job(request: Request) -> Response:
    """The `Progress` of one study as JSON; 404 with a sentence when there is none."""
    study_id = request.path_params["study_id"]
    try:
        progress = await run_in_threadpool(lambda: door.lab().progress(study_id))
    except OrtlabError as error:
        return _refusal(error, _NOT_FOUND)
    body = msgspec.json.encode(progress)
    return Response(body, media_type="application/json", headers=FRESH)


async def timeline(request: Request) -> Response:
    """A window of a timeline as JSON; 400 or 404 with a sentence when there is none."""
    # Late: numpy, which the other answers do not need.
    from ortlab.ui import timeline_data

    try:
        body = await run_in_threadpool(timeline_data.answer, request.query_params)
    except OrtlabError as error:
        return _refusal(error, _BAD_REQUEST if error.kind == "bad_window" else _NOT_FOUND)
    return Response(body, media_type="application/json", headers=FRESH)


def _refusal(error: OrtlabError, status_code: int) -> Response:
    return JSONResponse({"error": as_dict(error)}, status_code=status_code, headers=FRESH)
