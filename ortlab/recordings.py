"""Questions about recordings: profiles of studies, and traces that somebody opened."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ortlab.domain.files import user_path
from ortlab.domain.roofline import Peaks
from ortlab.domain.trace import Profile, TraceEvent

if TYPE_CHECKING:
    from ortlab.analysis.profiles.summary import TraceSummary
    from ortlab.jobs.node_weights import Weights
    from ortlab.settings import Settings
    from ortlab.store.home import Store
    from ortlab.views import ComparisonView, ProfileView


class Recordings:
    """The part of `Lab` that reads what was recorded. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def store(self) -> Store:
        """Where everything is kept."""
        from ortlab.store.home import Store

        return Store(self.settings)

    def profile_of(
        self, study_id: str, configuration_id: str, *, steady: bool = False
    ) -> ProfileView:
        """The profile of one row of a study; `steady` leaves warm-up runs out."""
        from ortlab.jobs import explain

        record = explain.profile_of(self.store, study_id, configuration_id, steady=steady)
        return self._profile_view(record, study_id, configuration_id)

    def open_trace(self, path: str | Path) -> str:
        """The id of a foreign ORT trace, read once and kept."""
        from ortlab.store.reading import reading

        if "store" in vars(self):
            known = self.store.traces.kept(user_path(path))
            if known is not None:
                return known
        with reading(user_path(path), self.settings) as begun:
            # The child is at work while the store is opened.
            return self.store.traces.keep(begun)

    def trace(self, trace_id: str, *, steady: bool = False) -> ProfileView:
        """The profile of an opened trace."""
        from ortlab.jobs import explain

        record = explain.profile_of_trace(self.store, trace_id, steady=steady)
        return self._profile_view(record, trace_id, None)

    def summary(self, source_id: str, configuration_id: str | None = None) -> TraceSummary:
        """Everything small about a trace: both profiles, memory, threads."""
        from ortlab.jobs import explain

        return explain.summary(explain.digest_of(self.store, source_id, configuration_id))

    def timeline(
        self, source_id: str, configuration_id: str | None = None, *, run: int = 0
    ) -> list[TraceEvent]:
        """The node events of one run, of a study's row or of an opened trace."""
        from ortlab.jobs import explain

        return explain.timeline(self.store, source_id, configuration_id, run=run)

    def compare(self, base: str | Path, other: str | Path) -> ComparisonView:
        """What differs between two studies, rows (`STUDY/CONFIGURATION`) or traces."""
        from ortlab.jobs import comparing
        from ortlab.views import ComparisonView

        found = comparing.compare(self.store, base, other, open_trace=self.open_trace)
        return ComparisonView(found)

    def scopes(self, model_id: str) -> Mapping[str, tuple[str, ...]]:
        """The module of each node and tensor of an added model, as far as its file tells."""
        from ortlab.jobs import scopes

        return scopes.scopes_of(self.store, model_id)

    def peaks(
        self, threads: int | None = None, *, refresh: bool = False, on_progress: Any = None
    ) -> Peaks:
        """The roofs of this machine, kept or measured now; `on_progress(done_share, what)`."""
        from ortlab.jobs import peaks

        return peaks.peaks(self.store, threads=threads, refresh=refresh, on_progress=on_progress)

    def known_peaks(self, threads: int | None = None) -> Peaks | None:
        """The roofs of this machine for so many threads; None while they are not measured."""
        from ortlab.jobs import peaks

        return peaks.known(self.store, threads=threads)

    def node_weights(self, study_id: str, configuration_id: str) -> Weights:
        """Weights of the nodes of one row, which its trace leaves out; empty where not known."""
        from ortlab.jobs import node_weights

        return node_weights.weights_of(self.store, study_id, configuration_id)

    def _profile_view(self, record: Profile, source_id: str, row_id: str | None) -> ProfileView:
        from ortlab.jobs import explain
        from ortlab.views import ProfileView

        return ProfileView(
            record,
            events=lambda run: self.timeline(source_id, row_id, run=run),
            stored=lambda: explain.digest_of(self.store, source_id, row_id).events,
            summary=lambda: self.summary(source_id, row_id),
            scopes=lambda: self._scopes_of_row(source_id, row_id),
        )

    def _scopes_of_row(
        self, source_id: str, row_id: str | None
    ) -> Mapping[str, tuple[str, ...]] | None:
        """What the model's file tells of modules; of a foreign trace there is no model."""
        if row_id is None:
            return None
        return self.scopes(self.store.studies.get(source_id).model_id)
