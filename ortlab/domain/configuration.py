"""One setting of ONNX Runtime: everything that decides how a session is opened and run."""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct

CPU = "CPUExecutionProvider"


class ProviderChoice(Struct, frozen=True):
    """One execution provider by ORT's own name, with its options as strings."""

    name: str
    options: dict[str, str] = {}


class Configuration(Struct, frozen=True, kw_only=True):
    """How to open and run one session. The same question has the same `id`."""

    providers: tuple[ProviderChoice, ...] = (ProviderChoice(CPU),)
    level: str = "all"
    variant: str = "fp32"
    runtime: str = "default"
    threads: int = 1
    """intra-op threads."""
    inter_op_threads: int = 1
    execution_mode: str = "sequential"
    memory_pattern: bool = True
    arena: bool = True
    spinning: bool = True
    io_binding: bool = False
    dims: dict[str, int] = {}
    session_config: dict[str, str] = {}
    """Further ORT session configuration entries, by ORT's own key."""

    @property
    def id(self) -> str:
        """Twelve hex digits over every field: equal settings, equal id."""
        canonical = msgspec.json.encode(self, order="sorted")
        return hashlib.sha256(canonical).hexdigest()[:12]

    @property
    def provider_names(self) -> tuple[str, ...]:
        """The providers asked for, in priority order."""
        return tuple(p.name for p in self.providers)
