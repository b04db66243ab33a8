"""Settings come from the environment, and nonsense is told by the variable's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ortlab import settings
from ortlab.errors import RequestError


def test_the_environment_names_the_home(own_home: Path) -> None:
    assert settings.load().home == own_home


def test_a_home_given_by_hand_wins(tmp_path: Path) -> None:
    assert settings.load(tmp_path).home == tmp_path


def test_without_a_home_the_user_data_folder_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORTLAB_HOME")
    assert settings.load().home.name == "ortlab"


def test_a_number_that_is_none_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORTLAB_RUN_TIMEOUT_S", "soon")
    with pytest.raises(RequestError, match="ORTLAB_RUN_TIMEOUT_S is 'soon'") as refused:
        settings.load()
    assert refused.value.exit_code == 2


def test_the_database_may_lie_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ORTLAB_DATABASE_URL", f"sqlite:///{tmp_path}/other.sqlite")
    assert settings.load().database_path == tmp_path / "other.sqlite"


def test_a_database_that_is_not_sqlite_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORTLAB_DATABASE_URL", "postgresql://host/name")
    with pytest.raises(RequestError, match="keeps to SQLite"):
        _ = settings.load().database_path


def test_every_setting_stands_in_the_guide_for_operators() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
    for name in settings.Settings.model_fields:
        assert f"`ORTLAB_{name.upper()}`" in guide


@pytest.mark.parametrize(
    ("name", "value"),
    [("RUN_TIMEOUT_S", "nan"), ("RUN_TIMEOUT_S", "-1"), ("OPEN_TIMEOUT_S", "0"),
     ("BUSY_TIMEOUT_S", "-1"), ("MEMORY_LIMIT_BYTES", "-1"), ("LEASE_S", "inf")],
)  # fmt: skip
def test_a_limit_that_would_limit_nothing_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"ORTLAB_{name}", value)
    with pytest.raises(RequestError, match=f"ORTLAB_{name} is '{value}'"):
        settings.load()
