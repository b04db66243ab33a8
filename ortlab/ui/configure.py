"""The question as a form: providers, levels, variants and the rest, from the catalog's rows."""

from __future__ import annotations

import streamlit as st

from ortlab.catalog import levels, providers, session_config, variants
from ortlab.domain.ask import Ask
from ortlab.domain.machine import MachineReport, ProviderState
from ortlab.domain.model import ModelInfo
from ortlab.domain.study import StopRule
from ortlab.ui import machine_panel, options_form, own_inputs, words

EFFORTS = {
    "Quick look": (StopRule(seconds=5.0), "5 s of measuring, all settings together."),
    "Normal": (StopRule(), "Until every comparison is within 1 %, at most 4 s a setting."),
    "Thorough": (StopRule(seconds=60.0), "60 s of measuring, all settings together."),
}
LEVELS_FIRST = ("all", "disabled")
# Only matrix products are quantized; without any, int8 would measure the same model twice.
_QUANTIZED_OPS = ("MatMul", "Gemm")


def form(model: ModelInfo, found: MachineReport) -> Ask:
    """What is asked, as the fields stand now; sensible before anything is touched."""
    chosen = _providers(machine_panel.states(found))
    left, right = st.columns(2)
    with left:
        picked_levels = st.pills(
            "Optimization", [lv.id for lv in levels.LEVELS], selection_mode="multi",
            default=list(LEVELS_FIRST), format_func=lambda i: levels.BY_ID[i].title,
            key="levels", help=_explained([(lv.title, lv.about) for lv in levels.LEVELS]),
        )  # fmt: skip
    with right:
        picked_variants = st.pills(
            "Precision", [v.id for v in variants.VARIANTS], selection_mode="multi",
            default=_default_variants(model), format_func=lambda i: variants.BY_ID[i].title,
            key="variants", help=_explained([(v.title, v.about) for v in variants.VARIANTS]),
        )  # fmt: skip
    left, right = st.columns(2)
    with left:
        effort = st.segmented_control(
            "How long", list(EFFORTS), default="Normal", key="effort", required=True,
            help=_explained([(name, about) for name, (_, about) in EFFORTS.items()]),
        )  # fmt: skip
    with right:
        dims = _dims(model)
    with st.expander("Advanced", icon=":material/tune:"):
        return _advanced(
            found,
            Ask(
                providers=tuple(chosen),
                levels=_in_order(picked_levels, levels.BY_ID),
                variants=_in_order(picked_variants, variants.BY_ID),
                dims=dims,
                stop=EFFORTS[effort or "Normal"][0],
            ),
        )


def defaults(model: ModelInfo, found: MachineReport) -> Ask:
    """What the untouched form asks."""
    names = [s.name for s in machine_panel.usable(found)]
    return Ask(
        providers=tuple(p.short for p in providers.PROVIDERS if p.name in names),
        levels=LEVELS_FIRST,
        variants=tuple(_default_variants(model)),
        dims={name: model.dim_hints.get(name, 1) for name in model.symbolic_dims},
        profile=True,
        from_page=True,
    )


def _providers(states: list[ProviderState]) -> list[str]:
    """Check boxes for every provider this ONNX Runtime knows of; the unusable say why."""
    shown = [s for s in states if s.built_in or s.loadable]
    st.markdown("Providers", help="Each one that is ticked is measured on its own; CPU takes the "
                "nodes it cannot take.")  # fmt: skip
    with st.container(horizontal=True, gap="medium"):
        return [
            providers.BY_NAME[state.name].short
            for state in sorted(shown, key=lambda s: not s.loadable)
            if state.name in providers.BY_NAME and _provider_box(state)
        ]


def _provider_box(state: ProviderState) -> bool:
    row = providers.BY_NAME[state.name]
    if state.loadable:
        about = f"{row.hardware}. {row.note}"
        return st.checkbox(row.label, value=True, key=f"provider-{row.short}", help=about)
    why = words.safe(f"{state.reason or 'Not usable here.'} {state.hint or ''}", limit=500)
    st.checkbox(f"{row.label} (not here)", value=False, disabled=True,
                key=f"provider-{row.short}", help=why)  # fmt: skip
    return False


def _default_variants(model: ModelInfo) -> list[str]:
    quantizable = any(model.op_counts.get(op) for op in _QUANTIZED_OPS)
    return [v.id for v in variants.VARIANTS if not v.worker_task or quantizable]


def _in_order(picked: list[str], rows: dict[str, object]) -> tuple[str, ...]:
    """The picked ids with ORT's own default first: the first is the baseline."""
    default = levels.DEFAULT if levels.DEFAULT in rows else variants.DEFAULT
    return tuple(sorted(picked, key=lambda i: (i != default, list(rows).index(i))))


def _dims(model: ModelInfo) -> dict[str, int]:
    """A number for each symbolic dimension, asked by name, prefilled from the model."""
    names = model.symbolic_dims
    if not names:
        return {}
    found = {}
    with st.container(horizontal=True):
        for index, name in enumerate(names):
            found[name] = int(st.number_input(
                f"Dimension {words.safe(name, limit=40)}", min_value=1, step=1, width=190,
                value=model.dim_hints.get(name, 1), key=f"dim-{index}",
                help="Shared by every input that uses this name.",
            ))  # fmt: skip
    return found


def _advanced(found: MachineReport, ask: Ask) -> Ask:
    from ortlab.measure.plan import usable_threads

    cores, best = found.machine.cpu.usable_cores, usable_threads(found)
    left, right = st.columns(2)
    with left:
        threads = st.multiselect(
            "Threads of one operator", [0, *range(1, cores + 1)], default=[0], key="threads",
            format_func=lambda n: f"what suits this machine ({best})" if n == 0 else str(n),
            help="Several make a grid.",
        )  # fmt: skip
        order = st.multiselect(
            "A priority order to measure as well", [p.short for p in _usable_rows(found)],
            key="order", placeholder="First choice, second choice, …",
            format_func=lambda s: providers.find(s).label,
            help="One more setting: the first takes what it can, then the second, and so on.",
        )  # fmt: skip
        mode = st.segmented_control("Execution mode", ["sequential", "parallel"], key="mode",
                                    default="sequential", required=True)  # fmt: skip
        inter = st.number_input("Threads between operators", 1, max(1, cores), 1, key="inter",
                                help="Matters in parallel mode only.")  # fmt: skip
        seed = st.number_input("Seed of the generated inputs", 0, key="seed")
    with right:
        switches = _switches()
        npz = own_inputs.field()
    options = _provider_options(ask.providers)
    entries = options_form.fields(session_config.SETTABLE, key="session",
                                  label="Session configuration entries")  # fmt: skip
    asked = [with_options(p, options.get(p, {})) for p in ask.providers]
    asked += [",".join(order)] * (len(order) > 1)
    return Ask(
        providers=tuple(asked), levels=ask.levels, variants=ask.variants, dims=ask.dims,
        stop=ask.stop, threads=tuple(threads) or (0,), inter_op_threads=int(inter),
        execution_mode=mode or "sequential", seed=int(seed), session_config=entries,
        input_npz=npz, from_page=True, **switches,
    )  # fmt: skip


def _switches() -> dict[str, bool]:
    rows = (
        ("memory_pattern", "Memory pattern", True, "Plans all buffers in one block."),
        ("arena", "Memory arena", True, "Keeps freed memory for the next run."),
        ("spinning", "Spinning threads", True, "Idle threads wait actively for the next task."),
        ("io_binding", "IO binding", False, "Inputs and outputs are bound once, not each run."),
        ("profile", "Profile afterwards", True, "A separate pass that says where the time goes."),
    )
    return {
        name: st.toggle(title, value=on, key=f"switch-{name}", help=about)
        for name, title, on, about in rows
    }


def _provider_options(asked: tuple[str, ...]) -> dict[str, dict[str, str]]:
    found = {}
    for short in asked:
        row = providers.find(short)
        if row.options:
            found[short] = options_form.fields(
                row.options, key=f"option-{short}", label=f"Options of {row.label}"
            )
    return found


def with_options(provider: str, options: dict[str, str]) -> str:
    """`cuda:device_id=0;use_tf32=0`, as the command line takes it."""
    if not options:
        return provider
    return f"{provider}:" + ";".join(f"{k}={v}" for k, v in options.items())


def _usable_rows(found: MachineReport) -> list[providers.Provider]:
    names = [s.name for s in machine_panel.usable(found)]
    return [providers.BY_NAME[n] for n in names if n in providers.BY_NAME]


def _explained(rows: list[tuple[str, str]]) -> str:
    return "  \n".join(f"**{title}**: {about}" for title, about in rows)
