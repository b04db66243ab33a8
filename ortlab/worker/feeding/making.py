"""The `feeds` task: read the graph, decide sizes, make values, try them, keep them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ortlab.errors import DimensionError, FeedError, ModelError, OrtlabError
from ortlab.worker.feeding import dims as feed_dims
from ortlab.worker.feeding import files as feed_files
from ortlab.worker.feeding import graph as feed_graph
from ortlab.worker.feeding import npz as feed_npz
from ortlab.worker.feeding import refusals as feed_refusals
from ortlab.worker.feeding import trial as feed_trial
from ortlab.worker.feeding import types as feed_types
from ortlab.worker.feeding import uses as feed_uses
from ortlab.worker.feeding import values as feed_values
from ortlab.worker.feeding.files import Fed
from ortlab.worker.feeding.graph import Input
from ortlab.worker.feeding.refusals import Move, Refusal
from ortlab.worker.feeding.values import Plan
from ortlab.worker.protocol import Context, Message
from ortlab.worker.reading import dimensions, wire

# Sizes that ortlab chose by itself are lowered until the feeds take less than this.
SOFT_LIMIT_BYTES = 256 << 20


@dataclass
class _Maker:
    """What is known of one model, and the session that tries its feeds."""

    inputs: list[Input]
    uses: dict[str, feed_uses.Use]
    model: wire.Model | None
    by_value: bool
    trial: feed_trial.Trial | None

    def values(self, plan: Plan) -> tuple[dict[str, Fed], list[str]]:
        """A value for every input, and a sentence on each."""
        by_name = {fed.name: fed for fed in self.inputs}
        made: dict[str, Fed] = {}
        notes = []
        for fed in self.inputs:
            use = self.uses.get(fed.name, feed_uses.Use())
            value = feed_values.make(fed, use, plan, by_name)
            made[fed.name] = Fed(value.value, fed.element)
            notes.append(f"{fed.name}: {_what(fed, value.value)}, {value.note}.")
        return made, notes

    def attempt(self, plan: Plan) -> Refusal | None:
        """Why ONNX Runtime refuses this plan's feeds, if it does."""
        try:
            if _bytes(self.inputs, plan) > feed_npz.DEFAULT_LIMIT_BYTES:
                return Refusal("Unable to allocate: these sizes are over the limit for feeds.")
            values, _ = self.values(plan)
        except DimensionError as error:
            return Refusal(error.message)
        return self.refusal(values)

    def refusal(self, values: Mapping[str, Fed]) -> Refusal | None:
        """Why ONNX Runtime refuses these values, if it does."""
        assert self.trial is not None
        return self.trial.refusal(_as_ort(values, self.by_value), by_value=self.by_value)

    def moves(self, plan: Plan, refusal: Refusal) -> list[Move]:
        """What to try instead, among the inputs that reach the node that refused."""
        names = feed_graph.reaching(self.model, refusal.node) if self.model else None
        reaching = [fed for fed in self.inputs if names is None or fed.name in names]
        scene = feed_refusals.Scene(plan, tuple(reaching or self.inputs), refusal)
        return feed_refusals.moves(scene)


def make(request: Message, context: Context, *, path: Path) -> Message:
    """See `feeds.make`."""
    context.phase("load")
    source = Path(request["model"])
    maker, notes = _open(source, request)
    context.phase("feeds")
    plan, contradicted = _plan(maker, request)
    notes += contradicted
    if request.get("npz"):
        values, plan = _own(maker, plan, request, context)
        made = [f"{n}: {_what_fed(n, v)}, from the given file." for n, v in values.items()]
    else:
        plan, lowered = _fitting(maker.inputs, plan, request)
        plan, changes = _tried(maker, plan, context)
        values, made = maker.values(plan)
        notes += lowered + changes
    feed_files.save(path, values, by_value=maker.by_value)
    return _reply(path, maker, values, plan, [*made, *notes])


def _open(source: Path, request: Message) -> tuple[_Maker, list[str]]:
    """The model's graph and, unless it was not wanted or cannot be had, its session."""
    model = feed_graph.read(source)
    trial, notes = None, []
    if request.get("try_run", True):
        try:
            max_run_s = request.get("max_run_s", feed_trial.MAX_RUN_S)
            trial = feed_trial.open_trial(source, max_run_s=max_run_s)
        except feed_trial.NotTriedError as reason:
            notes.append(f"The inputs were not tried, because the CPU cannot run this: {reason}.")
    if model is None:
        trial = trial or feed_trial.open_trial(source)
        inputs = feed_graph.inputs_of_session(trial.session)
        return _Maker(inputs, {}, None, _by_value(inputs), trial), notes
    inputs = feed_graph.inputs(model)
    for fed in inputs:
        feed_types.element_type(fed.element, name=fed.name)
        if fed.kind == "sparse":
            raise FeedError(f"Input '{fed.name}' is a sparse tensor, which ortlab cannot feed.")
    by_value = _by_value(inputs) or feed_graph.outputs_need_ort_values(model)
    return _Maker(inputs, feed_uses.uses(model), model, by_value, trial), notes


def _by_value(inputs: Sequence[Input]) -> bool:
    return any(feed_types.element_type(fed.element, name=fed.name).by_value for fed in inputs)


def _plan(maker: _Maker, request: Message) -> tuple[Plan, list[str]]:
    """The first plan, and a note for each size that contradicts the parts it is computed from."""
    graph = maker.model.graph if maker.model else feed_graph.as_graph(maker.inputs)
    assert graph is not None
    assumed = set(request.get("assumed") or ())
    asked: dict[str, int] = request.get("dims") or {}
    given = {name: size for name, size in asked.items() if name not in assumed}
    hints = dimensions.hints(dimensions.names(graph)) | {n: asked[n] for n in assumed & set(asked)}
    others = {d for v in graph.outputs for d in v.shape or () if isinstance(d, str)}
    dims = feed_dims.decide(maker.inputs, given=given, hints=hints, others=others)
    notes = [
        f"The dimension '{name}' is {dims.size(name)}, computed from its parts, not {size}."
        for name, size in given.items()
        if name in dims.keys.values() and dims.size(name) != size
    ]
    return Plan(dims, seed=int(request.get("seed") or 0)), notes


def _own(
    maker: _Maker, plan: Plan, request: Message, context: Context
) -> tuple[dict[str, Fed], Plan]:
    """The user's arrays, tried once."""
    limit = request.get("limit_bytes", feed_npz.DEFAULT_LIMIT_BYTES)
    arrays = feed_npz.read(Path(request["npz"]), maker.inputs, limit_bytes=limit)
    dims = feed_npz.dims_of(arrays, maker.inputs, plan.dims)
    values = {fed.name: Fed(arrays[fed.name], fed.element) for fed in maker.inputs}
    if maker.trial is not None:
        context.phase("run")
        refusal = maker.refusal(values)
        if refusal is not None:
            raise _out_of_memory(refusal) or FeedError(
                f"ONNX Runtime refused the arrays of the given file: {refusal.reason}",
                hint="The model needs other values or shapes than these.",
            )
    return values, replace(plan, dims=dims)


def _fitting(inputs: list[Input], plan: Plan, request: Message) -> tuple[Plan, list[str]]:
    """The plan with our own sizes lowered until the feeds are of a fair size.

    Raises:
        DimensionError: the sizes the user fixed make the feeds larger than the limit.
    """
    before = plan
    while _bytes(inputs, plan) > SOFT_LIMIT_BYTES:
        largest = max(inputs, key=lambda fed: feed_values.feed_bytes(fed, plan))
        free = {
            key: size
            for key, size in plan.dims.sizes.items()
            if key not in plan.dims.locked and size > 1
            and any(name == largest.name for name, _ in plan.dims.axes(key))
        }  # fmt: skip
        if not free:
            break
        plan = plan.with_dims({key: (size + 1) // 2 for key, size in free.items()})
    _check_limit(inputs, plan, request.get("limit_bytes", feed_npz.DEFAULT_LIMIT_BYTES))
    changed = {k: n for k, n in plan.dims.sizes.items() if n != before.dims.sizes[k]}
    told = ", ".join(f"{k} to {n}" for k, n in changed.items())
    return plan, [f"Sizes were lowered so that the inputs fit: {told}."] if changed else []


def _check_limit(inputs: list[Input], plan: Plan, limit_bytes: int) -> None:
    for fed in inputs:
        size = feed_values.feed_bytes(fed, plan)
        if size > limit_bytes:
            raise DimensionError(
                f"Input '{fed.name}' of shape {plan.shape(fed)} would take {size >> 20:,} MiB, "
                f"over the limit of {limit_bytes >> 20:,} MiB.",
                hint=_ask_for_sizes(plan),
            )


def _bytes(inputs: list[Input], plan: Plan) -> int:
    return sum(feed_values.feed_bytes(fed, plan) for fed in inputs)


def _tried(maker: _Maker, plan: Plan, context: Context) -> tuple[Plan, list[str]]:
    """The plan that ONNX Runtime takes, and what had to be changed for it.

    Raises:
        OrtlabError: none was found; the sentence holds ONNX Runtime's reason.
    """
    if maker.trial is None:
        return plan, []
    context.phase("run")
    search = feed_trial.Search(maker.attempt, maker.moves)
    found, changes, refusal = search.run(plan)
    if refusal is not None:
        raise _out_of_memory(refusal) or _refused(maker, plan, refusal)
    if maker.trial.stopped:
        told = f"The trial run was stopped after {maker.trial.max_run_s:g} s"
        return found, [*changes, f"{told}: the model is slow, or never ends."]
    return _without_nan(maker, found, changes)


def _without_nan(maker: _Maker, plan: Plan, changes: list[str]) -> tuple[Plan, list[str]]:
    """Other values where the first made the model return NaN, if those help."""
    trial = maker.trial
    assert trial is not None
    if not trial.has_nan():
        return plan, changes
    gentle = replace(plan, unit_floats=True)
    if maker.attempt(gentle) is None and not trial.stopped and not trial.has_nan():
        return gentle, [*changes, "The first values gave NaN; floats in 0 to 1 do not."]
    return plan, [*changes, "The model returns NaN for these inputs, and for gentler ones too."]


def _refused(maker: _Maker, plan: Plan, refusal: Refusal) -> OrtlabError:
    """The error for a model that no feeds were found for."""
    if not maker.inputs:
        return ModelError(f"The model takes no inputs, and fails when run: {refusal.reason}")
    shapes = ", ".join(f"{fed.name} {_shape_text(fed, plan)}" for fed in maker.inputs[:6])
    message = f"ONNX Runtime refused the inputs ({shapes}): {refusal.reason}"
    if not plan.dims.sizes:
        return FeedError(message, hint="Give your own arrays with --input FILE.npz.")
    return DimensionError(message, hint=_working_sizes(maker, plan) or _ask_for_sizes(plan))


def _shape_text(fed: Input, plan: Plan) -> str:
    return f"{plan.shape(fed)}" if fed.kind == "tensor" else fed.kind


def _working_sizes(maker: _Maker, plan: Plan) -> str | None:
    """Sizes that do work, when those the user fixed do not."""
    if not plan.dims.locked:
        return None
    search = feed_trial.Search(maker.attempt, maker.moves)
    found, _, refusal = search.run(feed_trial.unlocked(plan))
    changed = {k: n for k, n in found.dims.sizes.items() if n != plan.dims.sizes[k]}
    if refusal is not None or not changed:
        return None
    return "These sizes work: " + " ".join(f"--dim '{k}={n}'" for k, n in changed.items()) + "."


def _ask_for_sizes(plan: Plan) -> str:
    sizes = " ".join(f"--dim '{name}=INT'" for name in list(plan.dims.sizes)[:6])
    return f"Set the sizes with {sizes}, or give your own arrays with --input FILE.npz."


def _out_of_memory(refusal: Refusal) -> Exception | None:
    """Memory is not the inputs' fault: the worker's edge reports it as what it is."""
    told = ("Failed to allocate", "bad_alloc", "MemoryError")
    return MemoryError(refusal.reason) if any(t in refusal.text for t in told) else None


def _as_ort(values: Mapping[str, Fed], by_value: bool) -> dict[str, Any]:
    plain = {name: fed.value for name, fed in values.items()}
    return feed_files.to_ort(plain, {n: f.element for n, f in values.items()}, by_value=by_value)


def _what(fed: Input, value: Any) -> str:
    return _what_fed(fed.name, Fed(value, fed.element))


def _what_fed(name: str, fed: Fed) -> str:
    """`int64 (1, 128)`, or what the value is when it is not a tensor."""
    if fed.value is None:
        return "None"
    kind = feed_types.element_type(fed.element, name=name).name
    shape = getattr(fed.value, "shape", None)
    return f"{kind} {shape}" if shape is not None else f"{type(fed.value).__name__} of {kind}"


def _reply(
    path: Path, maker: _Maker, values: Mapping[str, Fed], plan: Plan, notes: list[str]
) -> Message:
    inputs = [
        {
            "name": name,
            "dtype": feed_types.element_type(fed.element, name=name).name,
            "shape": list(getattr(fed.value, "shape", [])),
        }
        for name, fed in values.items()
    ]
    dims = plan.dims.all_sizes()
    return {"path": str(path), "notes": notes, "inputs": inputs, "dims": dims}
