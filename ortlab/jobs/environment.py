"""What this machine can do, asked once per set of installed packages and kept in the store."""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata

import msgspec

from ortlab.domain.machine import MachineReport
from ortlab.store.home import Store


def machine_report(store: Store, *, refresh: bool = False) -> MachineReport:
    """The hardware, and which providers open a session here; from the store when it is known."""
    from ortlab.measure import machine

    here = machine.machine()
    key = f"machine:{here.id}:{packages()}"
    found = None if refresh else store.reports.find(key)
    if found is not None:
        report = msgspec.json.decode(found, type=MachineReport)
        # Quotas, free memory and affinity may change while the packages stay.
        return msgspec.structs.replace(report, machine=here)
    with store.folder("machine") as folder:
        report = machine.report(folder=folder)
    store.reports.save(key, msgspec.json.encode(report).decode())
    return report


def packages() -> str:
    """A short name for everything that decides which providers work: this Python's ORT packages."""
    versions = sorted(
        f"{name}=={distribution.version}"
        for distribution in metadata.distributions()
        if (name := distribution.metadata["Name"] or "").startswith("onnxruntime")
    )
    text = " ".join([platform.python_version(), *versions])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
