"""What the README, the requirements and the settings promise is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!\w+:)([^)#]+)[^)]*\)")
NAME = re.compile(r"^[A-Za-z0-9_.-]+")


def documents() -> list[Path]:
    return sorted(
        [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("[!.]*/README.md")]
    )


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(file: str) -> set[str]:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return {normal(NAME.match(line)[0]) for line in lines if re.match(r"[A-Za-z0-9].*==", line)}


@pytest.mark.parametrize("document", documents(), ids=lambda file: str(file.relative_to(ROOT)))
def test_every_local_link_leads_somewhere(document: Path) -> None:
    links = LINK.findall(document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {normal(NAME.match(text)[0]) for text in project["dependencies"]}
    for_tests = {normal(NAME.match(t)[0]) for t in project["optional-dependencies"]["test"]}
    assert asked <= pinned("requirements.txt")
    assert asked | for_tests - {"ortlab"} <= pinned("requirements-test.txt")


def test_test_requirements_pin_the_same_versions_as_the_program() -> None:
    def lines(file: str) -> set[str]:
        text = (ROOT / file).read_text(encoding="utf-8")
        return {line for line in text.splitlines() if re.match(r"[A-Za-z0-9].*==", line)}

    assert lines("requirements.txt") <= lines("requirements-test.txt")


def test_requirements_name_no_package_host() -> None:
    for file in ROOT.glob("requirements*.txt"):
        text = file.read_text(encoding="utf-8")
        assert "://" not in text
        assert "--index" not in text
        assert "--find-links" not in text


def test_sizes_that_the_samples_readme_states_are_true() -> None:
    folder = ROOT / "sample_models"
    rows = re.findall(
        r"^\| `(\w+\.onnx)` \| ([\d,]+) \|", (folder / "README.md").read_text("utf-8"), re.MULTILINE
    )
    stated = {name: int(size.replace(",", "")) for name, size in rows}
    assert stated == {file.name: file.stat().st_size for file in folder.glob("*.onnx")}
