"""What the device ran inside the nodes: kernels, programs, and layers of compiled parts."""

from __future__ import annotations

import streamlit as st

from ortlab.domain.trace import Profile
from ortlab.ui import table_view
from ortlab.ui.table_view import Column

ROW_LIMIT = 300
_KERNELS = (
    Column("name", "On the device"),
    Column("op_type", "Kind"),
    Column("share", "Share of device time", "share"),
    Column("total_us", "Device time, all runs", "time"),
    Column("mean_us", "Mean per call", "time"),
    Column("calls", "Calls", "count"),
    Column("node", "Node", help="The node that asked for it; empty where the file does not tell."),
)


def show(profile: Profile) -> None:
    """A table of what ran on the device, the costliest first; nothing without device events."""
    device = profile.device
    if device is None or not device.kernels:
        return
    st.subheader("On the device", anchor=False)
    st.caption(f"{device.how} Warm-up runs are included.")
    whole = device.total_us or 1.0
    rows = [
        {"name": row.name, "op_type": row.op_type or None, "share": row.total_us / whole,
         "total_us": row.total_us, "mean_us": row.total_us / row.calls, "calls": row.calls,
         "node": row.node or None}
        for row in device.kernels
    ]  # fmt: skip
    table_view.show(rows, _KERNELS, key="kernels", alt="Device time by kernel", name="kernels",
                    limit=ROW_LIMIT)  # fmt: skip
