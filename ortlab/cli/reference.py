"""Pages that are made from tables and types: `python -m ortlab.cli.reference docs`.

Writes `docs/schema/COMMAND.json`, a JSON Schema per document, and `docs/findings.md`, a
section per diagnosis. A test compares the files with what this module makes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ortlab.catalog.diagnoses import DIAGNOSES, Diagnosis
from ortlab.cli import documents

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SECTIONS = {
    "problem": ("Problems", "The answer is not the one that was asked for."),
    "advice": ("Advice", "A change that should help, or was just measured to help."),
    "doubt": ("Doubts", "What limits the trust in the numbers of a study."),
}
_VIEWS = {
    "results": "Results",
    "profile:operators": "Profile, operators",
    "profile:placement": "Profile, placement",
    "machine": "Machine",
}
_HEAD = """# Findings

What ortlab looks for in a study, what it means and what to do. A finding is shown only with
evidence: a sentence with the numbers of this study. Where a fix is one changed configuration,
*Try it* measures it beside the one that was found wanting.

This page is made from `ortlab/catalog/diagnoses.py` by `python -m ortlab.cli.reference docs`.
"""


def files() -> Iterator[tuple[str, str]]:
    """Every generated file: its path below `docs/`, and its text."""
    for document in documents.DOCUMENTS:
        text = json.dumps(schema(document), indent=2, ensure_ascii=False)
        yield f"schema/{documents.command(document)}.json", text + "\n"
    yield "findings.md", findings()


def schema(document: type[documents.Document]) -> dict[str, Any]:
    """The JSON Schema of one document. Every key is always there, so every key is required."""
    made = msgspec.json.schema(document)
    for part in made["$defs"].values():
        if "description" in part:
            part["description"] = part["description"].splitlines()[0]
        if part.get("type") == "object" and "properties" in part:
            part["required"] = list(part["properties"])
            for value in part["properties"].values():
                value.pop("default", None)
    return {"$schema": DRAFT, **made}


def findings() -> str:
    """The page that findings link to, a section with an anchor per diagnosis."""
    parts = [_HEAD]
    for severity, (title, about) in _SECTIONS.items():
        rows = [row for row in DIAGNOSES if row.severity == severity]
        parts.append(f"## {title}\n\n{about}\n")
        parts += [_finding(row) for row in rows]
    return "\n".join(parts)


def _finding(row: Diagnosis) -> str:
    lines = [
        f'### <a id="{row.id}"></a>{row.title}',
        "",
        f"`{row.id}` · shown on {_VIEWS[row.view]}{_versions(row)}",
        "",
        f"*What is seen:* {row.symptom}",
        "",
        f"*What to do:* {row.fix}",
        "",
    ]
    if row.upstream:
        links = ", ".join(f"[{_short(link)}]({link})" for link in row.upstream)
        lines += [f"*Others met it:* {links}", ""]
    return "\n".join(lines)


def _versions(row: Diagnosis) -> str:
    start = f" · from ONNX Runtime {row.since}" if row.since else ""
    return start + (f" · before ONNX Runtime {row.until}" if row.until else "")


def _short(link: str) -> str:
    """`onnxruntime#23372` of an issue's address."""
    parts = link.rstrip("/").split("/")
    return f"{parts[-3]}#{parts[-1]}"


def main() -> None:
    """Write every file below the folder named on the command line."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    for name, text in files():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
