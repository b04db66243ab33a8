"""Typed fields for provider options and session entries, made from the catalog's rows."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ortlab.catalog.options import Option, takes


def fields(options: Sequence[Option], *, key: str, label: str) -> dict[str, str]:
    """What was set, as texts by option name; only options a page may offer are listed."""
    offered = {o.key: o for o in options if o.from_page}
    if not offered:
        return {}
    chosen = st.multiselect(label, list(offered), key=f"{key}-chosen",
                            placeholder="Choose an option to set")  # fmt: skip
    values = {name: _field(offered[name], key=f"{key}-{name}") for name in chosen}
    return {name: value for name, value in values.items() if value != ""}


def _field(option: Option, *, key: str) -> str:
    """One option's widget, by its kind; the text it holds."""
    about = f"{option.meaning} Takes {takes(option)}." + (
        f" ONNX Runtime's own: {option.default}." if option.default else ""
    )
    if option.kind == "enum":
        start = option.choices.index(option.default) if option.default in option.choices else 0
        return str(st.selectbox(option.key, option.choices, index=start, key=key, help=about))
    if option.kind == "bool":
        on = option.default.lower() in ("1", "true")
        return "1" if st.toggle(option.key, value=on, key=key, help=about) else "0"
    return st.text_input(option.key, value=option.default, key=key, help=about).strip()
