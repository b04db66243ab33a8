"""Foreign traces: read once in a worker, kept decoded, refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from ortlab.errors import RequestError, TraceError
from ortlab.lab import Lab


@pytest.fixture
def lab(own_home: Path) -> Lab:
    return Lab.open(own_home)


@pytest.fixture
def trace(samples_folder: Path) -> Path:
    return sorted((samples_folder / "traces").glob("*.json"))[0]


def test_a_trace_is_decoded_once(lab: Lab, trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace_id = lab.open_trace(trace)
    monkeypatch.setattr("ortlab.store.traces.Traces._keep", lambda *_, **__: pytest.fail("again"))
    assert lab.open_trace(trace) == trace_id
    assert lab.trace(trace_id).record.node_event_count > 0


def test_a_trace_of_an_open_laboratory_opens_again_without_a_process(
    lab: Lab, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = lab.open_trace(trace)
    monkeypatch.setattr("ortlab.store.reading.Child", None)
    assert lab.open_trace(trace) == opened


def test_a_trace_of_the_same_size_with_other_content_is_another(
    lab: Lab, trace: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.json"
    content = trace.read_bytes()
    place = content.index(b'"dur" :') + len(b'"dur" :')
    digit = b"1" if content[place : place + 1] != b"1" else b"2"
    changed.write_bytes(content[:place] + digit + content[place + 1 :])
    assert lab.open_trace(trace) != lab.open_trace(changed)


def test_the_id_of_a_trace_says_nothing_of_where_it_lay(
    lab: Lab, trace: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "secret project.json"
    copy.write_bytes(trace.read_bytes())
    assert lab.open_trace(copy) == lab.open_trace(trace)


def test_a_trace_cut_in_half_opens_with_what_it_has(lab: Lab, trace: Path, tmp_path: Path) -> None:
    content = trace.read_bytes()
    (tmp_path / "cut.json").write_bytes(content[: len(content) // 2])
    cut = lab.profile(tmp_path / "cut.json").record
    assert 0 < cut.node_event_count < lab.profile(trace).record.node_event_count


@pytest.mark.parametrize("content", [b"", b"{}", b"not a trace", b'[{"cat": "other"}]'])
def test_what_is_no_trace_is_refused_and_nothing_kept(
    lab: Lab, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(TraceError) as refused:
        lab.open_trace(tmp_path / "bad.json")
    assert refused.value.exit_code == 5
    assert list(lab.store.artifacts.digests()) == []
    assert list((lab.home / "tmp").iterdir()) == []


@pytest.mark.parametrize("name", ["nothere.json", "."])
def test_what_is_no_file_is_refused(lab: Lab, tmp_path: Path, name: str) -> None:
    with pytest.raises(TraceError, match="is not a file"):
        lab.open_trace(tmp_path / name)


def test_a_trace_over_the_limit_is_refused_unread(
    lab: Lab, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORTLAB_TRACE_LIMIT_BYTES", "100")
    with pytest.raises(TraceError, match="the limit for a trace is 100") as refused:
        Lab.open(lab.home).open_trace(trace)
    assert "ORTLAB_TRACE_LIMIT_BYTES" in refused.value.hint


def test_an_unknown_trace_is_refused(lab: Lab) -> None:
    with pytest.raises(RequestError, match="no trace 'nothere'"):
        lab.trace("nothere")
