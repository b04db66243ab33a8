"""Every knob an administrator may turn, in one place: environment variables `ORTLAB_…`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import platformdirs
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ortlab.errors import RequestError

GIB = 1 << 30
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Wait = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Bytes = Annotated[int, Field(gt=0)]


def _default_home() -> Path:
    return Path(platformdirs.user_data_dir("ortlab", appauthor=False))


class Settings(BaseSettings):
    """What this ortlab is allowed, and where it keeps things. Sizes in bytes, times in seconds."""

    model_config = SettingsConfigDict(env_prefix="ORTLAB_", frozen=True, extra="ignore")

    home: Path = Field(default_factory=_default_home)
    """The folder that holds everything; deleting it is a clean uninstall."""
    database_url: str | None = None
    """`sqlite:///file`; None keeps the database in `home`."""

    upload_limit_bytes: Bytes = 2 * GIB
    trace_limit_bytes: Bytes = 2 * GIB
    unpack_limit_bytes: Bytes = 64 * GIB
    keep_model_bytes: int = GIB
    """Models up to this size are copied into the store; larger ones stay where they are."""

    run_timeout_s: Seconds = 120.0
    open_timeout_s: Seconds = 600.0
    inspect_timeout_s: Seconds = 60.0
    trace_timeout_s: Seconds = 600.0
    memory_limit_bytes: Bytes | None = None
    """Per worker; None leaves each a share of the memory that is free."""

    busy_timeout_s: Wait = 10.0
    """How long to wait for another process that is writing to the database."""
    runner_idle_s: Wait = 30.0
    """The runner ends after so long without work."""
    lease_s: Seconds = 30.0

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        if self.database_url is None:
            return self.home / "ortlab.sqlite"
        scheme, _, path = self.database_url.partition(":///")
        if scheme != "sqlite" or not path:
            # Not the rest of it, which may hold a password.
            kind = scheme.partition(":")[0]
            raise RequestError(
                f"ORTLAB_DATABASE_URL starts with '{kind}', and this ortlab keeps to SQLite.",
                hint="Use sqlite:////absolute/path/to/file, or leave it unset.",
            )
        return Path(path)


def load(home: str | Path | None = None) -> Settings:
    """The settings of this process; `home` wins over the environment.

    Raises:
        RequestError: a variable holds something that it cannot mean.
    """
    try:
        settings = Settings() if home is None else Settings(home=Path(home))
    except ValidationError as error:
        first = error.errors()[0]
        name = "ORTLAB_" + "_".join(str(part) for part in first["loc"]).upper()
        raise RequestError(
            f"{name} is '{first.get('input')}': {first['msg']}.",
            hint="Correct the environment variable, or unset it for the default.",
        ) from None
    return settings.model_copy(update={"home": settings.home.expanduser().absolute()})
