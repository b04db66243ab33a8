"""From a question as a person puts it to one the queue can hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ortlab.domain.ask import Ask
from ortlab.domain.files import is_file
from ortlab.domain.study import StudySpec
from ortlab.errors import FeedError, RequestError
from ortlab.jobs import environment
from ortlab.jobs.queue import Queue
from ortlab.store.home import Store

# Values that a person may give alone where the question holds several.
_LISTS = ("providers", "levels", "variants", "runtimes", "threads", "configurations")


def ask(**fields: Any) -> Ask:
    """The question that these fields make; lists and single values both do.

    Raises:
        RequestError: a field does not exist, or holds something that it cannot mean.
    """
    known = [f.name for f in msgspec.structs.fields(Ask)]
    for name in fields:
        if name not in known:
            raise RequestError(
                f"There is no option '{name}'.", hint=f"There are: {', '.join(sorted(known))}."
            )
    for name in _LISTS:
        if isinstance(fields.get(name), str | int):
            fields[name] = (fields[name],)
    try:
        return msgspec.convert(msgspec.to_builtins(fields), Ask)
    except msgspec.ValidationError as error:
        raise RequestError(f"The question does not hold together: {error}.") from None


def plan(store: Store, model_id: str, question: Ask) -> StudySpec:
    """The question made exact for this machine; the user's own inputs are kept as an artifact."""
    from ortlab.measure import plan as planning

    if question.input_npz is not None:
        digest = _kept_feeds(store, Path(question.input_npz))
        question = msgspec.structs.replace(question, input_npz=digest)
    spec = planning.plan(question, store.models.get(model_id), environment.machine_report(store))
    settings = store.settings
    return msgspec.structs.replace(
        spec,
        run_timeout_s=settings.run_timeout_s,
        open_timeout_s=settings.open_timeout_s,
        memory_limit_bytes=settings.memory_limit_bytes,
    )


def queue(store: Store) -> Queue:
    """The waiting line of this home."""
    return Queue(store.database, lease_s=store.settings.lease_s)


def _kept_feeds(store: Store, path: Path) -> str:
    limit = store.settings.upload_limit_bytes
    if not is_file(path):
        raise FeedError(
            f"The inputs '{str(path)[:300]}' are not a file.",
            hint="Give an .npz file, one array per input.",
        )
    size = path.stat().st_size
    if size > limit:
        raise FeedError(
            f"The inputs '{path.name}' have {size:,} bytes; the limit is {limit:,}.",
            hint="Raise ORTLAB_UPLOAD_LIMIT_BYTES, or give smaller arrays.",
        )
    return store.artifacts.put(path)
