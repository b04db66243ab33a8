"""ortlab: a performance laboratory for ONNX Runtime.

    from ortlab import Lab
    study = Lab.open().bench("model.onnx", providers=["cpu"], levels=["disabled", "all"])

Importing this package loads neither pandas, Plotly, Streamlit nor ONNX Runtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ortlab.lab import Lab

__all__ = ["Lab", "__version__"]


def __getattr__(name: str) -> Any:
    """`Lab`, loaded at its first use."""
    if name == "Lab":
        from ortlab.lab import Lab

        return Lab
    raise AttributeError(f"module 'ortlab' has no attribute {name!r}")
