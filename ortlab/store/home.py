"""Everything ortlab keeps, behind one name."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from ortlab.settings import Settings
from ortlab.store import references
from ortlab.store.artifacts import Artifacts
from ortlab.store.database import Database, as_store_errors
from ortlab.store.folders import private_folder, remove_leftovers
from ortlab.store.models import Models
from ortlab.store.reports import Reports
from ortlab.store.studies import Studies
from ortlab.store.traces import Traces


class Store:
    """The folder `settings.home`, opened: studies, models, traces, reports, artifacts."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.home = settings.home
        with as_store_errors(self.home):
            self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.database = Database(settings.database_path, busy_timeout_s=settings.busy_timeout_s)
        self.artifacts = Artifacts(self.home / "artifacts")
        self.studies = Studies(self.database)
        self.models = Models(self.database, self.artifacts)
        self.traces = Traces(self.database, self.artifacts, settings)
        self.reports = Reports(self.database)

    def folder(self, purpose: str) -> AbstractContextManager[Path]:
        """A private folder for one job, removed when it is done."""
        return private_folder(self.home, purpose=purpose)

    def delete_study(self, study_id: str) -> None:
        """Remove a study and the artifacts that only it needed."""
        for digest in self.studies.delete(study_id):
            self.artifacts.remove(digest, grace_s=0)

    def sweep(self) -> None:
        """Remove what killed processes left: folders, parts of files, artifacts nobody needs."""
        remove_leftovers(self.home)
        self.artifacts.remove_parts()
        with self.database.reading() as connection:
            needed = references.needed(connection)
        for digest in self.artifacts.digests():
            if digest not in needed:
                self.artifacts.remove(digest)
