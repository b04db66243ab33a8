"""The dashboard's server: `streamlit run app.py`, then http://127.0.0.1:8501."""

import sys
from pathlib import Path

import streamlit as st

# `streamlit run` puts this folder on the path only once a page runs; the routes need it before.
sys.path.insert(0, str(Path(__file__).parent))

from starlette.middleware import Middleware
from starlette.routing import Route

from ortlab.ui.entry import Entry
from ortlab.ui.frame import show_bug
from ortlab.ui.routes import health, job, timeline
from ortlab.ui.security import Guard
from ortlab.ui.sockets import answering_at_once

app = st.App(
    "ortlab/ui/main.py",
    routes=[
        Route("/api/health", health),
        Route("/api/jobs/{study_id}", job),
        Route("/api/timeline", timeline),
    ],
    middleware=[
        Middleware(Guard),
        Middleware(Entry, base_path=st.get_option("server.baseUrlPath") or ""),
    ],
    lifespan=answering_at_once,
    on_script_error=show_bug,
)
