"""Trains `digits_cnn.onnx` on handwritten digits, quantizes it, and writes its labelled data.

    pip install -r requirements-zoo.txt
    python sample_models/build_digits.py            # about two minutes on one core

Writes into this folder: digits_cnn.onnx, digits_cnn_qdq.onnx, digits_eval.npz and
digits_calibration.npz. Everything is seeded. The evaluation images are never trained on,
and never used to choose anything.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

FOLDER = Path(__file__).parent
SEED = 7
EPOCHS = 40
BATCH = 64
EVAL_COUNT = 360
CALIBRATION_COUNT = 128
OPSET = 17


class Digits(NamedTuple):
    """Images as float32 [n, 1, 8, 8] in 0 to 1, labels as int64 [n]."""

    x: np.ndarray
    labels: np.ndarray


class Residual(nn.Module):
    """Two 3×3 convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.body(x))


def network() -> nn.Module:
    """The CNN: enlarges 8×8 to 32×32, then three stages of 32, 48 and 64 channels."""

    def stage(before: int, after: int) -> list[nn.Module]:
        return [
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            Residual(after),
        ]

    return nn.Sequential(
        nn.Upsample(scale_factor=4, mode="bilinear", align_corners=False),
        *stage(1, 32),
        nn.MaxPool2d(2),
        *stage(32, 48),
        nn.MaxPool2d(2),
        *stage(48, 64),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def split() -> tuple[Digits, Digits, Digits]:
    """Training, calibration and evaluation digits; no image is in two of them."""
    data = load_digits()
    x = (data.images[:, None] / 16.0).astype(np.float32)
    labels = data.target.astype(np.int64)
    rest_x, eval_x, rest_y, eval_y = train_test_split(
        x, labels, test_size=EVAL_COUNT, random_state=SEED, stratify=labels
    )
    train_x, calibration_x, train_y, calibration_y = train_test_split(
        rest_x, rest_y, test_size=CALIBRATION_COUNT, random_state=SEED, stratify=rest_y
    )
    return Digits(train_x, train_y), Digits(calibration_x, calibration_y), Digits(eval_x, eval_y)


def train(digits: Digits) -> nn.Module:
    """The network after `EPOCHS` passes over the digits, ready to be exported."""
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    model = network()
    x, labels = torch.from_numpy(digits.x), torch.from_numpy(digits.labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = EPOCHS * (len(x) // BATCH + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    for epoch in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(BATCH):
            shift = tuple(int(s) for s in torch.randint(-1, 2, (2,)))
            images = torch.roll(x[batch], shift, dims=(2, 3))
            loss = nn.functional.cross_entropy(model(images), labels[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1:2d}: loss {loss.item():.4f}", flush=True)
    return model.eval()


def export(model: nn.Module, path: Path) -> None:
    """The network as one ONNX file: input `x`, output `logits`, a batch of any size."""
    torch.onnx.export(
        model,
        (torch.zeros(1, 1, 8, 8),),
        path,
        input_names=["x"],
        output_names=["logits"],
        dynamic_axes={"x": {0: "batch"}, "logits": {0: "batch"}},
        opset_version=OPSET,
        dynamo=False,
    )
    onnx.checker.check_model(onnx.load(path), full_check=True)


class Reader(CalibrationDataReader):
    """The calibration digits, sixteen at a time."""

    def __init__(self, digits: Digits) -> None:
        self._batches = iter(np.array_split(digits.x, len(digits.x) // 16))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"x": batch}


def quantize(source: Path, target: Path, calibration: Digits) -> None:
    """The network with Q/DQ nodes: u8 activations and s8 weights, what x86 runs fastest."""
    quantize_static(
        source,
        target,
        Reader(calibration),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        # Resize and the last layer stay in float.
        op_types_to_quantize=["Conv", "Add", "MaxPool", "GlobalAveragePool"],
    )


def accuracy(path: Path, digits: Digits) -> float:
    """Part of the digits whose label the model names."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    logits = session.run(None, {"x": digits.x})[0]
    return float((logits.argmax(axis=1) == digits.labels).mean())


def main() -> None:
    logging.disable(logging.WARNING)
    training, calibration, evaluation = split()
    cnn, qdq = FOLDER / "digits_cnn.onnx", FOLDER / "digits_cnn_qdq.onnx"
    export(train(training), cnn)
    quantize(cnn, qdq, calibration)
    np.savez_compressed(FOLDER / "digits_eval.npz", **evaluation._asdict())
    np.savez_compressed(FOLDER / "digits_calibration.npz", **calibration._asdict())
    for path in (cnn, qdq):
        print(
            f"{path.name}: {path.stat().st_size:,} bytes, "
            f"accuracy {accuracy(path, evaluation):.4f} on {EVAL_COUNT} digits never trained on"
        )


if __name__ == "__main__":
    main()
