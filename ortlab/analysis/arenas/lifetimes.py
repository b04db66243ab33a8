"""Which nodes' outputs an arena holds after each node of one run, told from its byte counts.

A profile names no buffers. For each node it has the bytes requested from the arena after the
node, and by how much the node itself changed them. ORT releases what a node has used up after
that reading, so the rest of the change up to the next node is what was released in between.
Output sizes come from types and shapes. An output is one of three things: newly allocated,
written over an input that nobody else needs (operators that allow it), or written into a buffer
of its size whose content is used up.

Source: ORT's allocation planner (`FindReusableInput`, `FindReusableTensor`); checked with ORT
1.31 on models whose lifetimes are known by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from msgspec import Struct

from ortlab.analysis.arenas.tensors import Tensor

NOBODY = -1
"""Owner of bytes that were allocated between nodes."""
# The arena hands out multiples of this: `kMinAllocationSize` of ORT's BFCArena.
ROUNDING_BYTES = 256
# Every sum over so few buffers is tried (4,096 of them); of more, the likeliest are taken.
_MAX_SUMMED = 12

# CPU kernels registered with `MayInplace` or `Alias`: they may write over their input.
IN_PLACE_OPERATORS = frozenset({
    "Abs", "Add", "And", "Ceil", "Clip", "Cos", "Div", "Dropout", "Elu", "Erf", "Exp", "Flatten",
    "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "LogSoftmax",
    "Max", "Min", "Mul", "Neg", "Not", "Or", "QuickGelu", "Reciprocal", "Relu", "Reshape", "Selu",
    "Sigmoid", "Sin", "Softmax", "Softplus", "Softsign", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh",
    "ThresholdedRelu", "Unsqueeze", "Xor",
})  # fmt: skip


class Step(Struct, frozen=True, kw_only=True):
    """One node event with the arena's figures after it."""

    event: int
    """By which it is named as an owner."""
    node: int
    """Equal for all events of one node: a body's nodes have one in each iteration."""
    body: int
    """Event of the node whose graph it is in; `NOBODY` at the top."""
    op_type: str
    in_use: int
    requested: int
    in_use_delta: int
    requested_delta: int
    holds_graph: bool
    """Its deltas cover the nodes inside it, which have steps of their own."""
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Buffer(Struct, eq=False, kw_only=True):
    """A piece of the arena, and the node whose output it holds now."""

    owner: int
    body: int
    """Where the owner is."""
    requested: int
    bytes: int
    """With the arena's rounding."""
    text: str = ""
    sure: bool = True
    """False where another node's output of the same size may be what is still there."""


def alive(steps: Sequence[Step]) -> list[Buffer]:
    """What is in use after the last step and was not before the first; latest owner last.

    Args:
        steps: all nodes of one arena in the order in which they ended, none at the same time.
    """
    arena = _Arena()
    for step in steps:
        arena.follow(step)
    return arena.buffers


class _Arena:
    def __init__(self) -> None:
        self.buffers: list[Buffer] = []
        self._last: Step | None = None
        self._iteration: set[tuple[int, int]] = set()

    def follow(self, step: Step) -> None:
        """Take the arena through what came before this node, and through the node."""
        last, self._last = self._last, step
        requested, size = step.requested - step.requested_delta, step.in_use - step.in_use_delta
        if last is not None and step.holds_graph:
            # What it allocated until its inner nodes ended stands in their steps.
            requested, size = last.requested, last.in_use
        self._begin(step)
        if last is not None and requested < last.requested:
            self._release(last.requested - requested, after=last)
        elif last is not None and requested > last.requested:
            # The block that is planned for a body's further iterations, for example.
            self._add(NOBODY, step, requested - last.requested, size - last.in_use)
        if step.requested < requested:
            self._release(requested - step.requested, after=step)
        else:
            self._write(step, step.requested - requested, step.in_use - size)
        if step.holds_graph:
            self._close(step)

    def _begin(self, step: Step) -> None:
        """A body that starts again has released all but what it hands on: names are lost."""
        if step.body == NOBODY:
            return
        if (step.body, step.node) in self._iteration:
            self._iteration.clear()
            for buffer in self.buffers:
                if buffer.body != NOBODY:
                    buffer.owner = NOBODY
        self._iteration.add((step.body, step.node))

    def _close(self, step: Step) -> None:
        """What is left of a body is the output of the node that holds it, or nobody's."""
        sizes = [tensor.bytes for tensor in step.outputs]
        for buffer in reversed(self.buffers):
            if buffer.body != step.event:
                continue
            buffer.body, buffer.owner = step.body, NOBODY
            if buffer.requested in sizes:
                sizes.remove(buffer.requested)
                buffer.owner = step.event

    def _write(self, step: Step, requested: int, size: int) -> None:
        """Give the node its outputs: new ones for the bytes it requested, others by reuse."""
        new = _new_outputs(step, requested)
        if not step.holds_graph and (new or not requested):
            for tensor in (t for t in step.outputs if t.bytes and t not in new):
                self._reuse(step, tensor)
        pieces = [(tensor.bytes, tensor.text) for tensor in new]
        rest = requested - sum(t.bytes for t in new)
        if rest:
            # State that the kernel keeps, or outputs whose sizes the trace does not tell.
            pieces.append((rest, ""))
        for number, (count, text) in enumerate(pieces, 1):
            # A piece of the arena may be larger than its rounding asks for: the last has the rest.
            piece = size if number == len(pieces) else min(size, _rounded(count))
            self._add(step.event, step, count, piece, text)
            size -= piece

    def _add(self, owner: int, step: Step, requested: int, size: int, text: str = "") -> None:
        # Figures of a damaged file may contradict each other.
        size = max(0, size)
        made = Buffer(owner=owner, body=step.body, requested=requested, bytes=size, text=text)
        self.buffers.append(made)

    def _reuse(self, step: Step, output: Tensor) -> None:
        """Hand the likeliest buffer of this size to the node; none: it was there before."""
        same = [b for b in self.buffers if b.requested == output.bytes and b.owner != step.event]
        block = any(b.owner == NOBODY and b.requested >= output.bytes for b in self.buffers)
        if block or not same:
            return
        read = self._read_by(step)
        wanted = step.op_type in IN_PLACE_OPERATORS
        taken = ([b for b in same if (b in read) == wanted] or same)[-1]
        for buffer in same if len(same) > 1 else ():
            buffer.sure = False
        taken.owner, taken.body, taken.text = step.event, step.body, output.text
        self.buffers.remove(taken)
        self.buffers.append(taken)

    def _release(self, requested: int, *, after: Step) -> None:
        """Take away buffers of so many bytes, first those that the node has just read."""
        inside = [b for b in self.buffers if b.body == after.event and b.body != NOBODY]
        fresh = [b for b in self.buffers if b.owner == after.event]
        read = [b for b in self._read_by(after) if b not in inside]
        others = [b for b in self.buffers if b not in inside and b not in read and b not in fresh]
        ranked = [b for part in (inside, read, others, fresh) for b in reversed(part)]
        gone = _adding_up(requested, ranked)
        self.buffers = [b for b in self.buffers if b not in gone]
        sizes = {b.requested for b in gone}
        for buffer in self.buffers:
            if buffer.requested in sizes and buffer not in fresh:
                buffer.sure = False

    def _read_by(self, step: Step) -> list[Buffer]:
        """For each input the latest buffer with its type and shape that is not its own output."""
        found: list[Buffer] = []
        for tensor in step.inputs:
            for buffer in reversed(self.buffers):
                if (
                    buffer.text == tensor.text
                    and buffer.owner != step.event
                    and buffer not in found
                ):
                    found.append(buffer)
                    break
        return [b for b in self.buffers if b in found]


def _new_outputs(step: Step, requested: int) -> list[Tensor]:
    """The outputs that the requested bytes were for: all if they fit, else some that add up."""
    outputs = [tensor for tensor in step.outputs if tensor.bytes]
    if sum(t.bytes for t in outputs) <= requested:
        return outputs
    chosen = _exactly(requested, [t.bytes for t in outputs[:_MAX_SUMMED]])
    return [outputs[i] for i in chosen or ()]


def _adding_up(requested: int, ranked: list[Buffer]) -> list[Buffer]:
    """Buffers of so many bytes, the first ranked that fit; others where only those add up."""
    gone, rest = [], requested
    for buffer in ranked:
        if buffer.requested <= rest:
            gone.append(buffer)
            rest -= buffer.requested
    if rest:
        chosen = _exactly(requested, [b.requested for b in ranked[:_MAX_SUMMED]])
        gone = [ranked[i] for i in chosen] if chosen else gone
    return gone


def _exactly(total: int, sizes: list[int]) -> tuple[int, ...] | None:
    """Positions of the fewest sizes that add up to the total; None when none do."""
    for count in range(1, len(sizes) + 1):
        for chosen in combinations(range(len(sizes)), count):
            if sum(sizes[i] for i in chosen) == total:
                return chosen
    return None


def _rounded(count: int) -> int:
    return -(-count // ROUNDING_BYTES) * ROUNDING_BYTES
