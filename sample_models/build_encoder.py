"""Exports `tiny_encoder.onnx`: a small BERT-style encoder, its attention left unfused.

    pip install -r requirements-zoo.txt
    python sample_models/build_encoder.py

The weights are random and seeded: it is a subject for measurements, not a language model.
"""

from __future__ import annotations

import logging
from pathlib import Path

import onnx
import torch
from torch import nn
from transformers import BertConfig, BertModel

FOLDER = Path(__file__).parent
SEED = 11
OPSET = 17
VOCABULARY = 1000


class Encoder(nn.Module):
    """BERT with two inputs and one output, as most exports have it."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.bert = BertModel(config, add_pooling_layer=False)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def encoder() -> Encoder:
    """Four layers of width 128; seeded random weights."""
    torch.manual_seed(SEED)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        max_position_embeddings=256,
        # Written out as MatMul and Softmax; `sdpa` exports cannot be fused by ORT's tools.
        attn_implementation="eager",
    )
    return Encoder(config).eval()


def export(model: nn.Module, path: Path) -> None:
    """One file; batch and sequence of any size, the sequence up to 256."""
    ids = torch.randint(0, VOCABULARY, (2, 16))
    axes = {0: "batch", 1: "sequence"}
    names = ["input_ids", "attention_mask"]
    torch.onnx.export(
        model,
        (ids, torch.ones_like(ids)),
        path,
        input_names=names,
        output_names=["last_hidden_state"],
        dynamic_axes=dict.fromkeys([*names, "last_hidden_state"], axes),
        opset_version=OPSET,
        dynamo=False,
    )
    onnx.checker.check_model(onnx.load(path), full_check=True)


def main() -> None:
    logging.disable(logging.WARNING)
    path = FOLDER / "tiny_encoder.onnx"
    export(encoder(), path)
    print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
