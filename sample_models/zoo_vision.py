"""The convolutional networks of the zoo, written out: ResNet-50, EfficientNet-B0, YOLOv5s-shaped.

Layer shapes follow the papers and the public descriptions of these networks; the weights are
whatever the caller's seed gives.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class ConvNorm(nn.Sequential):
    """Convolution, batch norm, activation; padded so that stride 1 keeps the size."""

    def __init__(
        self,
        before: int,
        after: int,
        size: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        act: type[nn.Module] = nn.ReLU,
        pad: int | None = None,
    ) -> None:
        padding = size // 2 if pad is None else pad
        super().__init__(
            nn.Conv2d(before, after, size, stride, padding, groups=groups, bias=False),
            nn.BatchNorm2d(after),
            act(),
        )


class Bottleneck(nn.Module):
    """ResNet's 1×1, 3×3, 1×1 block; the shortcut is a convolution where shapes change."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        after = width * 4
        self.body = nn.Sequential(
            ConvNorm(before, width),
            ConvNorm(width, width, 3, stride=stride),
            ConvNorm(width, after, act=nn.Identity),
        )
        same = before == after and stride == 1
        self.shortcut = (
            nn.Identity() if same else ConvNorm(before, after, stride=stride, act=nn.Identity)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet50() -> nn.Module:
    """ResNet-50 for 224×224 images and 1,000 classes."""
    layers: list[nn.Module] = [ConvNorm(3, 64, 7, stride=2), nn.MaxPool2d(3, 2, 1)]
    before = 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for index in range(count):
            layers.append(Bottleneck(before, width, stride if index == 0 else 1))
            before = width * 4
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 1000))


class SqueezeExcite(nn.Module):
    """Scales every channel by a gate computed from all of them."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.SiLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class MBConv(nn.Module):
    """EfficientNet's block: expand, depthwise, squeeze-excite, project, shortcut."""

    def __init__(self, before: int, after: int, *, expand: int, size: int, stride: int) -> None:
        super().__init__()
        inner = before * expand
        widen = [ConvNorm(before, inner, act=nn.SiLU)] if expand > 1 else []
        self.body = nn.Sequential(
            *widen,
            ConvNorm(inner, inner, size, stride=stride, groups=inner, act=nn.SiLU),
            SqueezeExcite(inner, before // 4),
            ConvNorm(inner, after, act=nn.Identity),
        )
        self.shortcut = before == after and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.shortcut else self.body(x)


def efficientnet_b0() -> nn.Module:
    """EfficientNet-B0 for 224×224 images and 1,000 classes."""
    # expand, channels, count, stride, kernel size: table 1 of the EfficientNet paper
    stages = (
        (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3),
    )  # fmt: skip
    layers: list[nn.Module] = [ConvNorm(3, 32, 3, stride=2, act=nn.SiLU)]
    before = 32
    for expand, after, count, stride, size in stages:
        for index in range(count):
            first = stride if index == 0 else 1
            layers.append(MBConv(before, after, expand=expand, size=size, stride=first))
            before = after
    head = [ConvNorm(before, 1280, act=nn.SiLU), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *head, nn.Linear(1280, 1000))


class C3(nn.Module):
    """YOLOv5's cross-stage block: residual 1×1–3×3 pairs on one half of the channels."""

    def __init__(self, before: int, after: int, count: int, *, shortcut: bool = True) -> None:
        super().__init__()
        half = after // 2
        self.one, self.two = (ConvNorm(before, half, act=nn.SiLU) for _ in range(2))
        self.blocks = nn.ModuleList(
            nn.Sequential(ConvNorm(half, half, act=nn.SiLU), ConvNorm(half, half, 3, act=nn.SiLU))
            for _ in range(count)
        )
        self.join = ConvNorm(after, after, act=nn.SiLU)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.one(x)
        for block in self.blocks:
            y = y + block(y) if self.shortcut else block(y)
        return self.join(torch.cat([y, self.two(x)], dim=1))


class PoolPyramid(nn.Module):
    """YOLOv5's SPPF: three max pools in a row, all joined."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = ConvNorm(channels, channels // 2, act=nn.SiLU)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.leave = ConvNorm(channels * 2, channels, act=nn.SiLU)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.enter(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.leave(torch.cat(parts, dim=1))


def _down(before: int, after: int) -> ConvNorm:
    return ConvNorm(before, after, 3, stride=2, act=nn.SiLU)


class YoloShaped(nn.Module):
    """A detector with the layers of YOLOv5s, for 640×640 images: 25,200 boxes of 85 numbers."""

    CLASSES = 80
    STRIDES = (8, 16, 32)
    ANCHORS = (
        ((10, 13), (16, 30), (33, 23)),
        ((30, 61), (62, 45), (59, 119)),
        ((116, 90), (156, 198), (373, 326)),
    )

    def __init__(self) -> None:
        super().__init__()
        stem = ConvNorm(3, 32, 6, stride=2, act=nn.SiLU, pad=2)
        self.to_8 = nn.Sequential(
            stem, _down(32, 64), C3(64, 64, 1), _down(64, 128), C3(128, 128, 2)
        )
        self.to_16 = nn.Sequential(_down(128, 256), C3(256, 256, 3))
        self.to_32 = nn.Sequential(_down(256, 512), C3(512, 512, 1), PoolPyramid(512))
        self.narrow_32, self.narrow_16 = (
            ConvNorm(512, 256, act=nn.SiLU),
            ConvNorm(256, 128, act=nn.SiLU),
        )
        self.up_16 = C3(512, 256, 1, shortcut=False)
        self.up_8 = C3(256, 128, 1, shortcut=False)
        self.down_16, self.down_32 = _down(128, 128), _down(256, 256)
        self.out_16 = C3(256, 256, 1, shortcut=False)
        self.out_32 = C3(512, 512, 1, shortcut=False)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.heads = nn.ModuleList(
            nn.Conv2d(channels, 3 * (5 + self.CLASSES), 1) for channels in (128, 256, 512)
        )

    def forward(self, x: Tensor) -> Tensor:
        at_8 = self.to_8(x)
        at_16 = self.to_16(at_8)
        narrow_32 = self.narrow_32(self.to_32(at_16))
        narrow_16 = self.narrow_16(self.up_16(torch.cat([self.up(narrow_32), at_16], dim=1)))
        out_8 = self.up_8(torch.cat([self.up(narrow_16), at_8], dim=1))
        out_16 = self.out_16(torch.cat([self.down_16(out_8), narrow_16], dim=1))
        out_32 = self.out_32(torch.cat([self.down_32(out_16), narrow_32], dim=1))
        boxes = [self._boxes(level, maps) for level, maps in enumerate((out_8, out_16, out_32))]
        return torch.cat(boxes, dim=1)

    def _boxes(self, level: int, maps: Tensor) -> Tensor:
        """Boxes of one level as [batch, 3 · cells, 85]: centre, size, objectness, classes."""
        raw = self.heads[level](maps)
        batch, _, height, width = raw.shape
        raw = raw.view(batch, 3, 5 + self.CLASSES, height, width).permute(0, 1, 3, 4, 2).sigmoid()
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        grid = torch.stack([columns, rows], dim=-1).float() - 0.5
        anchors = torch.tensor(self.ANCHORS[level], dtype=torch.float32).view(1, 3, 1, 1, 2)
        centre = (raw[..., :2] * 2 + grid) * self.STRIDES[level]
        size = (raw[..., 2:4] * 2) ** 2 * anchors
        return torch.cat([centre, size, raw[..., 4:]], dim=-1).flatten(1, 3)


def randomize(model: nn.Module) -> nn.Module:
    """The model with weights that keep activations of ordinary size at any depth."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.weight[0, 0].numel() * layer.out_channels // layer.groups
            nn.init.normal_(layer.weight, std=math.sqrt(2.0 / fan_out))
        if isinstance(layer, nn.BatchNorm2d):
            # Below 1, or every residual sum would double the variance.
            nn.init.constant_(layer.weight, 0.7)
            nn.init.normal_(layer.bias, std=0.1)
    return model
