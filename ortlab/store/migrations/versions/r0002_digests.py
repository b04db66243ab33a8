"""What stored events of a trace mean, kept beside them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; stored events stay, and their meaning is worked out at the next look."""
    op.create_table(
        "digest",
        sa.Column("events_digest", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("summary_digest", sa.Text, nullable=False),
        sa.Column("timeline_digest", sa.Text, nullable=False),
    )
