"""`ortlab machine --peaks`: what this machine reaches at best, measured once."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Command

pytestmark = pytest.mark.slow


def test_the_roofs_are_in_the_document_and_kept_for_the_next_time(ortlab: Command) -> None:
    assert ortlab("machine", "--json").document["peaks"] is None
    first = ortlab("machine", "--peaks", "--json").document
    peaks = first["peaks"]
    assert peaks["machine_id"] == first["machine"]["id"]
    assert peaks["onnxruntime_version"] == first["runtimes"][0]["onnxruntime_version"]
    assert 1 <= peaks["threads"] <= first["machine"]["cpu"]["usable_cores"]
    measured = {roof["kind"] for roof in peaks["compute"]}
    assert "fp32" in measured
    assert measured | set(peaks["missing"]) == {"fp32", "fp16", "int8"}
    rates = [roof["bytes_per_s"] for roof in peaks["memory"]]
    assert rates == sorted(rates, reverse=True)
    assert peaks["memory"][-1]["level"] == "memory"
    again = ortlab("machine", "--peaks", "--json").document["peaks"]
    assert again == peaks
    shown = ortlab("machine", "--peaks")
    assert shown.code == 0
    assert "What it reaches at best" in shown.out
    assert "FLOP/s" in shown.out
