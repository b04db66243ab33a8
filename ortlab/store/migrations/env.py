"""Alembic's entry: runs the migrations on the connection that the store hands over."""

from __future__ import annotations

from alembic import context

from ortlab.store import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    # SQLite can roll a schema change back: a killed upgrade leaves the old schema.
    transactional_ddl=True,
)
context.run_migrations()
