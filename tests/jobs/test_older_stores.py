"""Stores of released versions open, with everything that was in them."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ortlab.lab import Lab

DATA = Path(__file__).parents[1] / "data"
TRACE_ID = "unrphhowca"


@pytest.fixture
def home(own_home: Path) -> Path:
    """A store as 0.1 left it: one opened trace, its events in the first layout."""
    events = DATA / "events_of_0_1.parquet"
    digest = hashlib.sha256(events.read_bytes()).hexdigest()
    artifact = own_home / "artifacts" / "sha256" / digest[:2] / digest[2:4] / digest[4:]
    artifact.parent.mkdir(parents=True)
    artifact.write_bytes(events.read_bytes())
    with closing(sqlite3.connect(own_home / "ortlab.sqlite")) as connection, connection:
        connection.executescript((DATA / "store_0001.sql").read_text())
    return own_home


def test_a_trace_that_the_first_release_kept_is_read_as_one_opened_now(
    home: Path, tmp_path: Path
) -> None:
    lab = Lab.open(home)
    assert lab.open_trace(DATA / "cpu_control_flow.json") == TRACE_ID
    old = lab.trace(TRACE_ID).record
    now = Lab.open(tmp_path / "fresh").profile(DATA / "cpu_control_flow.json").record
    assert old.node_event_count == now.node_event_count > 0
    assert [(o.op_type, o.calls, o.self_us) for o in old.operators] == [
        (o.op_type, o.calls, o.self_us) for o in now.operators
    ]
    assert [(n.name, n.scope, n.total_us, n.input_shapes) for n in old.nodes] == [
        (n.name, n.scope, n.total_us, n.input_shapes) for n in now.nodes
    ]


def test_an_upgrade_leaves_a_backup_of_the_store(home: Path) -> None:
    Lab.open(home).history()
    (backup,) = (home / "backups").iterdir()
    with closing(sqlite3.connect(backup)) as connection:
        (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        (name,) = connection.execute("SELECT name FROM trace").fetchone()
    assert (version, name) == ("0001", "cpu_control_flow.json")


def test_what_an_older_version_said_of_a_trace_is_worked_out_anew_and_removed(
    own_home: Path, tmp_path: Path
) -> None:
    lab = Lab.open(own_home)
    trace_id = lab.open_trace(DATA / "cpu_control_flow.json")
    (tmp_path / "old").write_text("what an older version said")
    old = lab.store.artifacts.put(tmp_path / "old")
    with closing(sqlite3.connect(own_home / "ortlab.sqlite")) as connection, connection:
        connection.execute("UPDATE digest SET version = 0, summary_digest = ?", (old,))
        connection.execute("INSERT INTO reference VALUES (?, ?)", (old, f"trace:{trace_id}"))
    assert Lab.open(own_home).trace(trace_id).record.node_event_count > 0
    assert old not in set(lab.store.artifacts.digests())
