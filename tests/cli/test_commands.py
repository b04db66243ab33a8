"""Every command as a person runs it: documents, tables, exit codes."""

from __future__ import annotations

import itertools
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import pytest

from ortlab.cli.main import COMMANDS
from tests import build

if TYPE_CHECKING:
    from tests.cli.conftest import Command

ROOT = Path(__file__).parents[2]
HEAVY = ("pandas", "plotly", "sqlalchemy", "onnxruntime", "streamlit", "numpy", "pydantic")


@pytest.fixture
def mlp(tmp_path: Path) -> Path:
    path = tmp_path / "mlp.onnx"
    onnx.save(build.mlp(width=256, layers=4), path)
    return path


# Help


def test_help_fits_one_screen_and_names_every_command(ortlab: Command):
    done = ortlab("--help")
    assert done.code == 0
    assert len(done.out.splitlines()) <= 40
    for name in ("inspect", "fix", "machine", "bench", "profile", "placement", "history", "app"):
        assert f"\n  {name} " in done.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_examples_of_itself(ortlab: Command, name: str):
    assert f"Examples:\n  ortlab {name}" in ortlab(name, "--help").out.replace("    ", "  ")


def test_every_example_has_only_options_that_exist():
    from typer.main import get_command

    from ortlab.cli.main import app

    group = get_command(app)
    for name, (_, examples) in COMMANDS.items():
        for line in examples:
            words = shlex.split(line)
            assert words[:2] == ["ortlab", name]
            command = group.commands[name]
            with command.make_context(name, words[2:], resilient_parsing=False):
                continue


def test_help_loads_nothing_heavy():
    program = (
        "import sys; from ortlab.cli.main import run; run(['--help']); "
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          check=True, cwd=ROOT)  # fmt: skip
    assert done.stderr.strip() == "[]"


def test_version_is_told(ortlab: Command):
    import ortlab as package

    assert ortlab("--version").out == f"ortlab {package.__version__}\n"


# Usage errors


@pytest.mark.parametrize(
    "arguments",
    [
        ("bench",),
        ("bench", "m.onnx", "--nonsense"),
        ("bench", "m.onnx", "--threads", "many"),
        ("bench", "m.onnx", "--precision", "lots"),
        ("bench", "m.onnx", "--dim", "batch"),
        ("bench", "m.onnx", "--seconds", "-1"),
        ("bench", "m.onnx", "--session-config", "noequals"),
        ("bench", "m.onnx", "--config", "missing.toml"),
        ("profile", "m.onnx", "--top", "-4"),
        ("app", "--port", "123456"),
        ("placement", "m.onnx"),
        ("frobnicate",),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_sentence_and_exit_2(ortlab: Command, arguments: tuple[str, ...]):
    done = ortlab(*arguments)
    assert done.code == 2
    assert len(done.sentence.splitlines()) == 1, done.err
    assert "Traceback" not in done.err


def test_wrong_usage_with_json_prints_the_error_document(ortlab: Command):
    done = ortlab("bench", "m.onnx", "--nonsense", "--json")
    assert done.code == 2
    assert done.document["schema"] == "ortlab.error/1"
    assert "--nonsense" in done.document["error"]["message"]


# Inspect, fix, machine, history


def test_inspect_prints_the_card_as_document_and_as_table(ortlab: Command, mlp: Path):
    model = ortlab("inspect", mlp, "--json").document["model"]
    assert model["op_counts"]["MatMul"] == 4
    assert model["inputs"][0] == {
        "name": "x", "dtype": "float32", "shape": ["N", 256], "kind": "tensor", "optional": False,
    }  # fmt: skip
    table = ortlab("inspect", mlp).out
    assert "MatMul 4" in table
    assert "N × 256" in table


def test_fix_lowers_the_ir_version_and_says_so(ortlab: Command, tmp_path: Path):
    model = build.mlp()
    model.ir_version = 14
    onnx.save(model, tmp_path / "new.onnx")
    out = tmp_path / "old.onnx"
    document = ortlab("fix", tmp_path / "new.onnx", "-o", out, "--json").document
    assert [fix["code"] for fix in document["applied"]] == ["lower-ir"]
    assert onnx.load(out).ir_version < 14


def test_machine_lists_the_cpu_as_loadable(ortlab: Command):
    document = ortlab("machine", "--json").document
    states = {p["name"]: p for p in document["runtimes"][0]["providers"]}
    assert states["CPUExecutionProvider"]["loadable"] is True
    assert all(p["reason"] for p in states.values() if not p["loadable"])
    assert document["noise"] is None


# Bench, profile, placement


def test_bench_measures_a_grid_and_keeps_it_in_the_history(ortlab: Command, mlp: Path):
    done = ortlab("bench", mlp, "--level", "disabled", "--level", "all", "--threads", "1",
                  "--dim", "N=8", "--seconds", "2", "--samples", "--json")  # fmt: skip
    assert done.code == 0, done.err
    document = done.document
    rows = document["configurations"]
    assert [row["level"] for row in rows] == ["disabled", "all"]
    assert document["baseline"] == rows[0]["id"]
    for row in rows:
        assert row["error"] is None
        assert row["providers_active"] == ["CPUExecutionProvider"]
        assert row["latency"]["min_us"] <= row["latency"]["p50_us"] <= row["latency"]["max_us"]
        assert len(row["samples_us"]) == row["latency"]["count"]
    study = document["study"]
    assert study["aa"]["ci95"][0] <= study["aa"]["ratio"] <= study["aa"]["ci95"][1]
    studies = ortlab("history", "--json").document["studies"]
    assert study["id"] in {entry["id"] for entry in studies}


def test_the_same_question_has_the_same_configurations_in_the_same_order(
    ortlab: Command, mlp: Path
):
    ids = [
        [row["id"] for row in ortlab(
            "bench", mlp, "-l", "all", "-l", "basic", "-t", "1", "--batch", "2", "-n", "5",
            "--json").document["configurations"]]
        for _ in range(2)
    ]  # fmt: skip
    assert ids[0] == ids[1]


def test_a_provider_that_is_missing_fails_its_row_only(ortlab: Command, mlp: Path):
    done = ortlab("bench", mlp, "-p", "cpu", "-p", "xnnpack", "--dim", "N=1", "-n", "5", "--json")
    assert done.code == 0, done.err
    good, bad = done.document["configurations"]
    assert good["latency"] is not None
    assert bad["latency"] is None
    assert bad["error"]["kind"] == "provider_unavailable"
    assert bad["throughput_per_s"] is None


def test_a_provider_that_is_missing_alone_is_exit_2(ortlab: Command, mlp: Path):
    done = ortlab("bench", mlp, "-p", "xnnpack", "--dim", "N=1", "--json")
    assert done.code == 2
    assert done.document["error"]["kind"] == "provider_unavailable"


def test_the_table_says_the_verdict_and_nothing_else_than_results_is_on_stdout(
    ortlab: Command, mlp: Path
):
    done = ortlab("bench", mlp, "--dim", "N=1", "-n", "5")
    assert done.code == 0
    assert "needs" in done.out
    assert "Measuring 1 configuration" in done.err


def test_profile_measures_a_model_and_counts_its_operators(ortlab: Command, mlp: Path):
    document = ortlab("profile", mlp, "--dim", "N=8", "-l", "disabled", "--top", "2",
                      "--json").document  # fmt: skip
    operators = {row["op_type"]: row for row in document["operators"]}
    assert operators["MatMul"]["calls"] == 4 * len(document["runs"])
    assert sum(row["share"] for row in document["operators"]) == pytest.approx(1)
    assert len(document["nodes"]) == 2
    assert document["twin_p50_us"] > 0


def test_profile_reads_a_trace_without_a_model(ortlab: Command):
    trace = ROOT / "sample_models" / "traces" / "digits_cnn_cpu.json"
    everything = ortlab("profile", trace, "--json").document
    steady = ortlab("profile", trace, "--steady", "--json").document
    assert everything["node_event_count"] >= steady["node_event_count"] > 0
    assert not any(run["warmup"] for run in steady["runs"])


def test_a_profile_of_a_grid_is_refused_before_it_is_measured(ortlab: Command, mlp: Path):
    done = ortlab("profile", mlp, "--dim", "N=1", "-l", "basic", "-l", "all")
    assert done.code == 2
    assert "Measuring" not in done.err


def test_placement_puts_every_node_on_the_cpu(ortlab: Command, mlp: Path):
    document = ortlab("placement", mlp, "-p", "cpu", "--dim", "N=1", "--json").document
    assert document["requested"] == ["CPUExecutionProvider"]
    assert document["node_share_by_provider"] == {"CPUExecutionProvider": 1.0}
    assert document["fallback"] == []


def test_a_recipe_from_export_measures_the_same_configuration(
    ortlab: Command, mlp: Path, tmp_path: Path
):
    from ortlab import Lab

    asked = ("--dim", "N=1", "-n", "5", "--no-spinning", "-l", "basic", "--json")
    first = ortlab("bench", mlp, *asked).document
    lab = Lab.open(ortlab.home)
    (recipe,) = lab.export(first["study"]["id"], first["baseline"], kind="recipe", folder=tmp_path)
    again = ortlab("bench", mlp, "--config", recipe, "-n", "5", "--json").document
    assert [row["id"] for row in again["configurations"]] == [first["baseline"]]


def test_the_exported_script_of_a_study_runs(ortlab: Command, mlp: Path, tmp_path: Path):
    from ortlab import Lab

    first = ortlab("bench", mlp, "--dim", "N=3", "-n", "5", "--json").document
    lab = Lab.open(ortlab.home)
    folder = tmp_path / "taken"
    script = lab.export(first["study"]["id"], first["baseline"], kind="python", folder=folder)[0]
    done = subprocess.run([sys.executable, script, "--model", mlp, "--runs", "2"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "(3, 256)" in done.stdout


def test_a_finding_is_tried_beside_its_fix_and_says_what_became_of_it(ortlab: Command, mlp: Path):
    from ortlab import Lab

    lab = Lab.open(ortlab.home)
    cores = lab.machine().machine.cpu.usable_cores
    document = ortlab("bench", mlp, "--dim", "N=4", "-t", cores + 2, "-n", "10", "--warmup", "2",
                      "--json").document  # fmt: skip
    found = {finding["diagnosis"]: finding for finding in document["findings"]}
    finding = found["oversubscribed"]
    assert f"on {cores} usable cores" in finding["evidence"]
    assert finding["proposal"]["threads"] == cores
    tried = lab.try_fix(document["study"]["id"], "oversubscribed", finding["configuration_id"])
    study = lab.wait(tried).record
    assert [row.threads for row in study.configurations] == [cores + 2, cores]
    again = {f.diagnosis: f for f in lab.findings(document["study"]["id"])}
    trial = again["oversubscribed"].trial
    assert trial is not None
    assert trial.verdict in ("faster", "slower", "same", "cannot tell")


def test_fusions_that_a_low_level_misses_are_found_in_a_real_profile(ortlab: Command):
    model = "sample_models/digits_cnn.onnx"
    done = ortlab("bench", model, "--batch", "1", "-l", "disabled", "-t", "1", "-s", "2",
                  "--profile", "--json")  # fmt: skip
    assert done.code == 0, done.err
    found = {finding["diagnosis"]: finding for finding in done.document["findings"]}
    assert "Relu after Conv" in found["missing-fusion"]["evidence"]
    assert found["missing-fusion"]["proposal"]["level"] == "all"


# Ends


def test_an_interrupt_cancels_the_study_and_exits_4(fresh_ortlab: Command, mlp: Path):
    process = fresh_ortlab.start("bench", mlp, "--dim", "N=8", "--seconds", "120", "--json")
    for line in process.stderr:
        if line.startswith("Measuring"):
            break
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 4, err
    assert '"cancelled"' in out
    assert "Traceback" not in err
    (study,) = fresh_ortlab("history", "--json").document["studies"]
    assert study["status"] == "cancelled"


def test_a_reader_that_goes_away_is_no_error(ortlab: Command):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "ortlab", "machine", "--json"], stdout=write,
                          stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False,
                          env={**os.environ, "ORTLAB_HOME": str(ortlab.home)})  # fmt: skip
    os.close(write)
    assert done.stderr == ""
    assert done.returncode == 0


def test_the_app_answers_on_its_port_and_a_second_one_says_the_port_is_taken(
    fresh_ortlab: Command,
):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = fresh_ortlab.start("app", "--port", port)
    try:
        assert reached(f"http://127.0.0.1:{port}/api/health")
        done = fresh_ortlab("app", "--port", port)
        assert done.code == 2
        assert f"Port {port}" in done.sentence
    finally:
        process.terminate()
        process.communicate(timeout=20)


def reached(address: str) -> bool:
    """Whether the address answers within half a minute."""
    for _ in itertools.repeat(None, 60):
        try:
            with urllib.request.urlopen(address, timeout=2) as reply:
                return reply.status == 200
        except OSError:
            time.sleep(0.5)
    return False
