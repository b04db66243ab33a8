"""What only a machine with an NVIDIA GPU can show. Elsewhere these tests say what they miss."""

from __future__ import annotations

import threading
from pathlib import Path

import onnx
import pytest

from ortlab.analysis.profiles import traces
from ortlab.domain.configuration import CPU, Configuration, ProviderChoice
from ortlab.domain.study import StopRule, Study, StudySpec
from ortlab.measure import study
from ortlab.sandbox.spawn import run_task
from tests import build
from tests.jobs.test_measure import MACHINE, Kept

CUDA = "CUDAExecutionProvider"

pytestmark = pytest.mark.gpu


@pytest.fixture
def cuda(tmp_path: Path) -> None:
    """Skips, with ORT's own reason, where no session opens on CUDA."""
    request = {"provider": CUDA, "options": {}}
    found = run_task("try_provider", request, folder=tmp_path / "probe", timeout_s=120)
    if not found["loadable"]:
        pytest.skip(f"CUDA cannot be used here: {found['reason']}")


def studied(folder: Path, *, profile: bool = False) -> tuple[Study, Kept]:
    """A study of a small model on the CPU and on CUDA."""
    path = folder / "model" / "model.onnx"
    path.parent.mkdir()
    onnx.save(build.mlp(width=256, layers=4), str(path))
    spec = StudySpec(
        model_id="m",
        model_name="test",
        configurations=tuple(
            Configuration(threads=1, dims={"N": 64}, providers=(ProviderChoice(name),))
            for name in (CPU, CUDA)
        ),
        stop=StopRule(seconds=4),
        profile=profile,
    )
    sink = Kept()
    answer = study.run(
        spec, study_id="s", model=path, feeds_npz=None, folder=folder / "work", sink=sink,
        cancel=threading.Event(), machine=MACHINE,
    )  # fmt: skip
    return answer, sink


@pytest.mark.usefixtures("cuda")
def test_cuda_is_measured_beside_the_cpu_and_gives_the_same_outputs(tmp_path: Path) -> None:
    answer, _ = studied(tmp_path)
    row = answer.configurations[1]
    assert row.error is None
    assert row.providers_active[0] == CUDA
    assert row.vs_baseline is not None
    assert row.accuracy is not None
    # TF32 is CUDA's default: three decimal digits.
    assert (row.accuracy.max_rel_error or 0) < 1e-2


@pytest.mark.usefixtures("cuda")
def test_a_cuda_profile_without_kernel_events_is_not_believed(tmp_path: Path) -> None:
    answer, sink = studied(tmp_path, profile=True)
    trace = next(p for p in sink.files if p.name == answer.configurations[1].trace_artifact)
    events = tmp_path / "events.parquet"
    request = {"path": str(trace), "out": str(events)}
    run_task("trace", request, folder=tmp_path / "decode", timeout_s=60)
    profile = traces.profile(events, source="test")
    assert CUDA in profile.async_providers
    if not profile.device_event_count:
        assert profile.trust.grade not in ("A", "B")
