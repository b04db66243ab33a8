"""The forms of a model that can be measured."""

from __future__ import annotations

from msgspec import Struct


class Variant(Struct, frozen=True, kw_only=True):
    """One way to prepare a model. `worker_task` makes it; empty means the file as given."""

    id: str
    title: str
    about: str
    worker_task: str = ""
    changes_numbers: bool = False


VARIANTS = (
    Variant(id="fp32", title="As given", about="The file as it is, whatever its precision."),
    Variant(
        id="dynamic-int8",
        title="Dynamic int8",
        about="MatMul and Gemm weights as signed 8-bit, activations quantized while running. "
        "Convolutions stay in float: ORT's ConvInteger is several times slower on x86.",
        worker_task="quantize_dynamic",
        changes_numbers=True,
    ),
)

BY_ID = {variant.id: variant for variant in VARIANTS}
DEFAULT = "fp32"
