"""Builds architectures that people deploy, at real size, with seeded random weights.

    pip install -r requirements-zoo.txt
    python sample_models/zoo.py --list
    python sample_models/zoo.py bert-base resnet50 --out models

Nothing is downloaded: torch and transformers build the networks from their configurations.
Random weights run as fast as trained ones; their outputs mean nothing.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

try:
    import onnx
    import torch
    from torch import Tensor, nn
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is not installed. Install: pip install -r requirements-zoo.txt")

SEED = 2
# What every ONNX Runtime since 1.17 reads.
SCRIPT_OPSET = 17
DYNAMO_OPSET = 18


class Entry(NamedTuple):
    """One architecture: how to build it, and what goes in and out."""

    name: str
    about: str
    megabytes: int
    build: Callable[[], tuple[nn.Module, dict[str, Tensor]]]
    output: str
    dynamo: bool = False
    """Exported by torch.export where the older exporter cannot: a fixed batch of 1."""


class Only(nn.Module):
    """One output of a transformers model, from inputs given in order by name."""

    def __init__(self, model: nn.Module, *, inputs: tuple[str, ...], output: str) -> None:
        super().__init__()
        self.model, self.inputs, self.output = model, inputs, output

    def forward(self, *values: Tensor) -> Tensor:
        result: Tensor = self.model(**dict(zip(self.inputs, values, strict=True)))[self.output]
        return result


def bert_base() -> tuple[nn.Module, dict[str, Tensor]]:
    """BERT-base with its pooler left out."""
    from transformers import BertConfig, BertModel

    config = BertConfig(attn_implementation="eager")
    names = ("input_ids", "attention_mask", "token_type_ids")
    ids = torch.randint(0, config.vocab_size, (1, 128))
    feeds = dict(zip(names, (ids, torch.ones_like(ids), torch.zeros_like(ids)), strict=True))
    model = BertModel(config, add_pooling_layer=False)
    return Only(model, inputs=names, output="last_hidden_state"), feeds


def gpt2_small() -> tuple[nn.Module, dict[str, Tensor]]:
    """GPT-2 small with its language head, all tokens at once, without a cache."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(use_cache=False, attn_implementation="eager")
    ids = torch.randint(0, config.vocab_size, (1, 256))
    return Only(GPT2LMHeadModel(config), inputs=("input_ids",), output="logits"), {"input_ids": ids}


def vit_base() -> tuple[nn.Module, dict[str, Tensor]]:
    """ViT-base with patches of 16 for 224×224 images and 1,000 classes."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(num_labels=1000, attn_implementation="eager")
    model = Only(ViTForImageClassification(config), inputs=("pixel_values",), output="logits")
    return model, {"pixel_values": torch.randn(1, 3, 224, 224)}


def whisper_small_encoder() -> tuple[nn.Module, dict[str, Tensor]]:
    """The encoder of Whisper small for 30 s of sound."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config = WhisperConfig(
        d_model=768, encoder_layers=12, encoder_attention_heads=12, encoder_ffn_dim=3072,
        attn_implementation="eager",
    )  # fmt: skip
    names = ("input_features",)
    model = Only(WhisperEncoder(config), inputs=names, output="last_hidden_state")
    return model, {"input_features": torch.randn(1, 80, 3000)}


def _vision(build: str, size: int) -> Callable[[], tuple[nn.Module, dict[str, Tensor]]]:
    def made() -> tuple[nn.Module, dict[str, Tensor]]:
        import zoo_vision

        model: nn.Module = getattr(zoo_vision, build)()
        return zoo_vision.randomize(model), {"image": torch.rand(1, 3, size, size)}

    return made


ENTRIES = (
    Entry("bert-base", "BERT-base, sequence 128", 435, bert_base, "last_hidden_state"),
    Entry("resnet50", "ResNet-50, 224×224", 102, _vision("resnet50", 224), "logits"),
    Entry("gpt2-small", "GPT-2 small, sequence 256", 498, gpt2_small, "logits", dynamo=True),
    Entry(
        "efficientnet-b0", "EfficientNet-B0, 224×224", 21,
        _vision("efficientnet_b0", 224), "logits",
    ),
    Entry("vit-base", "ViT-base/16, 224×224", 346, vit_base, "logits"),
    Entry(
        "yolov5s-like", "a detector shaped like YOLOv5s, 640×640", 29,
        _vision("YoloShaped", 640), "boxes",
    ),
    Entry(
        "whisper-small-encoder", "the encoder of Whisper small, 30 s of sound", 352,
        whisper_small_encoder, "last_hidden_state",
    ),
)  # fmt: skip


def build(entry: Entry, folder: Path) -> Path:
    """The architecture as one ONNX file in `folder`."""
    torch.manual_seed(SEED)
    model, feeds = entry.build()
    path = folder / f"{entry.name}.onnx"
    # The older exporter keeps axis names and one file, but it cannot export every model.
    axes = {name: {0: "batch"} for name in (*feeds, entry.output)}
    how = (
        {"dynamo": True, "opset_version": DYNAMO_OPSET, "external_data": False, "verbose": False}
        if entry.dynamo
        else {"dynamo": False, "opset_version": SCRIPT_OPSET, "dynamic_axes": axes}
    )
    with torch.inference_mode():
        torch.onnx.export(
            model.eval(), tuple(feeds.values()), path,
            input_names=list(feeds), output_names=[entry.output], **how,
        )  # fmt: skip
    onnx.checker.check_model(path)
    return path


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [entry.name for entry in ENTRIES]
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one or more of: {', '.join(names)}"
    )
    parser.add_argument(
        "--out", type=Path, default=Path(), help="folder to write to (default: here)"
    )
    parser.add_argument("--list", action="store_true", help="list the names with their sizes")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(names))
    if unknown:
        parser.error(f"there is no {unknown[0]!r} here; choose from {', '.join(names)}")
    if not arguments.names and not arguments.list:
        parser.error("name what to build, or --list")
    return arguments


def main() -> None:
    arguments = _arguments()
    if arguments.list:
        for entry in ENTRIES:
            print(f"{entry.name:<22} {entry.megabytes:>4} MB  {entry.about}")
        return
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for entry in ENTRIES:
        if entry.name in arguments.names:
            path = build(entry, arguments.out)
            print(f"{path}: {path.stat().st_size / 1e6:,.0f} MB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
