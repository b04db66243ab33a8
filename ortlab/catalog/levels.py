"""The graph optimization levels of ONNX Runtime 1.31."""

from __future__ import annotations

from msgspec import Struct


class Level(Struct, frozen=True, kw_only=True):
    """One level; `enum` is its name in `onnxruntime.GraphOptimizationLevel`."""

    id: str
    enum: str
    title: str
    about: str
    since: str = "1.0"


LEVELS = (
    Level(id="disabled", enum="ORT_DISABLE_ALL", title="Disabled",
          about="The graph as exported; only what execution needs is inserted."),
    Level(id="basic", enum="ORT_ENABLE_BASIC", title="Basic",
          about="Constant folding and provider-independent rewrites that keep standard ops."),
    Level(id="extended", enum="ORT_ENABLE_EXTENDED", title="Extended",
          about="Adds fusions into ORT's own operators, after nodes are assigned to providers."),
    Level(id="layout", enum="ORT_ENABLE_LAYOUT", title="Layout", since="1.23",
          about="Adds layout changes such as NCHWc, which depend on this CPU."),
    Level(id="all", enum="ORT_ENABLE_ALL", title="All",
          about="Everything ONNX Runtime has; its own default."),
)  # fmt: skip
"""In order of what they do. Source: ORT graph optimization guide; enum checked on 1.31."""

BY_ID = {level.id: level for level in LEVELS}
DEFAULT = "all"
