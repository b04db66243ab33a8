"""The first schema: studies, their rows, models, traces, reports and who needs which artifact."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table of the first release."""
    _create_study()
    _create_configuration()
    _create_kept()
    _create_reference()


def _create_study() -> None:
    op.create_table(
        "study",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("model_name", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("result", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("notices", sa.Text, nullable=False, server_default="[]"),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("cancel_requested", sa.Integer, nullable=False, server_default="0"),
        sa.Column("lease_owner", sa.Text),
        sa.Column("lease_until", sa.Float),
        sa.Column("phase", sa.Text, nullable=False, server_default=""),
        sa.Column("progress", sa.Text),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("started_at", sa.Text),
        sa.Column("finished_at", sa.Text),
        sa.Column("machine_id", sa.Text, nullable=False, server_default=""),
        sa.Column("configuration_count", sa.Integer, nullable=False),
        sa.Column("best_label", sa.Text),
        sa.Column("best_p50_us", sa.Float),
        sqlite_autoincrement=True,
    )
    op.create_index("study_status", "study", ["status", "number"])
    op.create_index("study_model", "study", ["model_id"])


def _create_configuration() -> None:
    op.create_table(
        "configuration",
        sa.Column(
            "study_id",
            sa.Text,
            sa.ForeignKey("study.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("level", sa.Text, nullable=False),
        sa.Column("variant", sa.Text, nullable=False),
        sa.Column("threads", sa.Integer, nullable=False),
        sa.Column("p50_us", sa.Float),
        sa.Column("ci_low_us", sa.Float),
        sa.Column("ci_high_us", sa.Float),
        sa.Column("ratio", sa.Float),
        sa.Column("verdict", sa.Text),
        sa.Column("error_kind", sa.Text),
        sa.Column("record", sa.Text, nullable=False),
    )


def _create_kept() -> None:
    op.create_table(
        "model",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("info", sa.Text, nullable=False),
        sa.Column("files", sa.Text, nullable=False),
        sa.Column("reference", sa.Text),
        sa.Column("added_at", sa.Text, nullable=False),
    )
    op.create_table(
        "trace",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("events_digest", sa.Text, nullable=False),
        sa.Column("source_bytes", sa.Integer, nullable=False),
        sa.Column("added_at", sa.Text, nullable=False),
    )
    op.create_table(
        "decoded",
        sa.Column("trace_digest", sa.Text, primary_key=True),
        sa.Column("events_digest", sa.Text, nullable=False),
    )
    op.create_table(
        "report",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("made_at", sa.Text, nullable=False),
    )


def _create_reference() -> None:
    op.create_table(
        "reference",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, primary_key=True),
    )
    op.create_index("reference_owner", "reference", ["owner"])
