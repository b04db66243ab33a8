"""The models that come with ortlab, for a first measurement."""

from __future__ import annotations

from msgspec import Struct


class Sample(Struct, frozen=True):
    """One file of the `sample_models` folder, by its name without `.onnx`."""

    name: str
    about: str


SAMPLES = (
    Sample("digits_cnn", "A small convolutional network trained to read handwritten digits."),
    Sample("tiny_encoder", "A BERT-style encoder as exported, not fused; any batch and length."),
    Sample("detector", "A convolutional detector that ends in NonMaxSuppression, TopK and If, "
                       "which many accelerators leave to the CPU."),
    Sample("digits_cnn_qdq", "The digits network with quantize and dequantize nodes inside."),
)  # fmt: skip
"""The one shown first is the one a newcomer tries."""
