"""The tables. What is searched or sorted is a column; the rest of a record is JSON beside it."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, MetaData, Table, Text

REVISION = "0002"
"""The newest migration. Revisions are numbers, so that a newer file is told from an older one."""

metadata = MetaData()

study = Table(
    "study",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("model_id", Text, nullable=False),
    Column("model_name", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("result", Text),
    Column("error", Text),
    Column("notices", Text, nullable=False, server_default="[]"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("cancel_requested", Integer, nullable=False, server_default="0"),
    Column("lease_owner", Text),
    Column("lease_until", Float),
    Column("phase", Text, nullable=False, server_default=""),
    Column("progress", Text),
    Column("created_at", Text, nullable=False),
    Column("started_at", Text),
    Column("finished_at", Text),
    Column("machine_id", Text, nullable=False, server_default=""),
    Column("configuration_count", Integer, nullable=False),
    Column("best_label", Text),
    Column("best_p50_us", Float),
    Index("study_status", "status", "number"),
    Index("study_model", "model_id"),
    sqlite_autoincrement=True,
)

configuration = Table(
    "configuration",
    metadata,
    Column("study_id", Text, ForeignKey("study.id", ondelete="CASCADE"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("label", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("threads", Integer, nullable=False),
    Column("p50_us", Float),
    Column("ci_low_us", Float),
    Column("ci_high_us", Float),
    Column("ratio", Float),
    Column("verdict", Text),
    Column("error_kind", Text),
    Column("record", Text, nullable=False),
)

model = Table(
    "model",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("info", Text, nullable=False),
    Column("files", Text, nullable=False),
    Column("reference", Text),
    Column("added_at", Text, nullable=False),
)

trace = Table(
    "trace",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("events_digest", Text, nullable=False),
    Column("source_bytes", Integer, nullable=False),
    Column("added_at", Text, nullable=False),
)

decoded = Table(
    "decoded",
    metadata,
    Column("trace_digest", Text, primary_key=True),
    Column("events_digest", Text, nullable=False),
)
"""Traces of studies as Parquet. A change of that format empties this table in its migration:
what is missing is decoded again from the trace."""

digest = Table(
    "digest",
    metadata,
    Column("events_digest", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("summary_digest", Text, nullable=False),
    Column("timeline_digest", Text, nullable=False),
)
"""What stored events mean. Rows of another version are worked out anew from the events."""

report = Table(
    "report",
    metadata,
    Column("key", Text, primary_key=True),
    Column("document", Text, nullable=False),
    Column("made_at", Text, nullable=False),
)

reference = Table(
    "reference",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("owner", Text, primary_key=True),
    Index("reference_owner", "owner"),
)
"""Who needs an artifact: `study:<id>`, `model:<id>` or `trace:<id>`."""
