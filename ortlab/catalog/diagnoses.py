"""Every symptom ortlab looks for: what it means, what cures it, who else met it.

A row holds the words. The check of the same id in `ortlab.analysis.diagnosing.diagnoses` looks at
the evidence and says the numbers. `docs/findings.md` is made from this table.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Severity = Literal["problem", "advice", "doubt"]
_ISSUE = "https://github.com/microsoft/onnxruntime/issues/"


class Diagnosis(Struct, frozen=True, kw_only=True):
    """One symptom with its cure. `severity` is `doubt` when the measurement itself is in doubt."""

    id: str
    title: str
    symptom: str
    fix: str
    severity: Severity
    view: str = "results"
    """Where the evidence shows: `results`, `profile:operators`, `profile:placement`, `machine`."""
    upstream: tuple[str, ...] = ()
    """Where others met it."""
    since: str = ""
    """First ONNX Runtime version the advice holds for; empty: all."""
    until: str = ""
    """First ONNX Runtime version it no longer holds for; empty: still does."""

    @property
    def source(self) -> str:
        """The page and anchor that explain it."""
        return f"docs/findings.md#{self.id}"

    def applies(self, version: str | None) -> bool:
        """True when the advice holds for this ONNX Runtime; unknown: when it holds for all."""
        if version is None:
            return not (self.since or self.until)
        here = version_key(version)
        after = not self.since or here >= version_key(self.since)
        return after and (not self.until or here < version_key(self.until))


def version_key(version: str) -> tuple[int, ...]:
    """`1.31.1` as (1, 31, 1); whatever follows the numbers is left out."""
    numbers = []
    for part in version.split("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


DIAGNOSES = (
    # Problems: the answer is not the one that was asked for.
    Diagnosis(
        id="provider-not-used", severity="problem", view="machine",
        title="The provider asked for was not used",
        symptom="The session did not open on the provider that was asked for.",
        fix="Open Machine for the missing library or device; the other configurations stand.",
        upstream=(_ISSUE + "23372", _ISSUE + "23612", _ISSUE + "17801"),
    ),
    Diagnosis(
        id="provider-fallback", severity="problem", view="profile:placement",
        title="Part of the model ran on another provider",
        symptom="Nodes ran outside the provider that was asked for first, and took time there.",
        fix="Look at the reason of each node under Placement: change the operator, its type or "
        "its shape in the export, or measure the provider it fell back to alone.",
        upstream=("https://github.com/deepinsight/insightface/issues/2249", _ISSUE + "28022"),
    ),
    Diagnosis(
        id="many-partitions", severity="problem", view="profile:placement",
        title="The graph is cut into many partitions",
        symptom="Work changes provider again and again in one run; every change costs a copy.",
        fix="Rewrite the operator that cuts the graph, or leave this provider out.",
        upstream=(_ISSUE + "28022", _ISSUE + "19887"),
    ),
    Diagnosis(
        id="outputs-changed", severity="problem",
        title="The outputs differ from the baseline's",
        symptom="The same model with other settings gives other numbers on the same inputs.",
        fix="Do not use this setting before you know why: compare the levels one by one, and "
        "report the optimizer or provider that changes the numbers.",
        upstream=(_ISSUE + "18959", _ISSUE + "17689", _ISSUE + "23284"),
    ),
    Diagnosis(
        id="not-finite", severity="problem",
        title="The outputs are not numbers",
        symptom="The outputs hold NaN or infinite values on the inputs that were fed.",
        fix="Feed real inputs (`--input`). If they stay, look for an overflow in half precision "
        "or a division by zero in the export.",
        upstream=(_ISSUE + "11384", _ISSUE + "20346"),
    ),
    Diagnosis(
        id="reduced-precision", severity="problem",
        title="OpenVINO computes in reduced precision",
        symptom="With OpenVINO the outputs differ by far more than float32 rounding.",
        fix="Its default on CPUs with bfloat16 units is bfloat16. Ask for float32 by "
        "`INFERENCE_PRECISION_HINT`, and compare the time again.",
    ),
    Diagnosis(
        id="quantized-outputs-off", severity="problem",
        title="Quantization changed the outputs a lot",
        symptom="The signal-to-noise ratio of the int8 outputs is low.",
        fix="Check the task's own accuracy before using it; keep the file as given where it "
        "matters.",
        upstream=(_ISSUE + "14233", _ISSUE + "16219"),
    ),
    # Advice: a change that should help, or was just measured to help.
    Diagnosis(
        id="level-costs-time", severity="advice",
        title="A higher optimization level is faster",
        symptom="The same configuration at a higher graph optimization level needs less time.",
        fix="Use the faster level; it was measured beside this one.",
    ),
    Diagnosis(
        id="optimization-slower", severity="advice",
        title="Optimizing more made it slower",
        symptom="The same configuration at a lower graph optimization level needs less time.",
        fix="Use the lower level for this model, on this machine.",
        upstream=(_ISSUE + "27436", _ISSUE + "23391"),
    ),
    Diagnosis(
        id="missing-fusion", severity="advice", view="profile:operators",
        title="Operators that ONNX Runtime could fuse run one by one",
        symptom="The executed graph still holds patterns that a higher level may fuse.",
        fix="Raise the graph optimization level to `all`.",
        upstream=(_ISSUE + "23864", _ISSUE + "19423"),
    ),
    Diagnosis(
        id="fusion-not-found", severity="advice", view="profile:operators",
        title="Fusions did not happen although all are on",
        symptom="At level `all` the executed graph still holds patterns that have a fused form.",
        fix="Something in the export breaks the pattern. Compare with an export at another "
        "opset or from the other exporter, and profile both.",
        upstream=(_ISSUE + "23864", _ISSUE + "21208", _ISSUE + "10359"),
    ),
    Diagnosis(
        id="unfused-qdq", severity="advice", view="profile:operators",
        title="Quantize and dequantize nodes run by themselves",
        symptom="Q/DQ nodes were not fused with their neighbours, which then compute in float.",
        fix="Below `all`, raise the level. At `all`, quantize again with unsigned activations "
        "and signed weights (QUInt8, QInt8): signed activations are not fused on x86.",
        upstream=(_ISSUE + "17389", _ISSUE + "12854"),
    ),
    Diagnosis(
        id="precision-casts", severity="advice", view="profile:operators",
        title="Half-precision operators are cast to float and back",
        symptom="This provider lacks half-precision kernels, so casts were put in around them.",
        fix="Use the float32 model on this provider.",
        upstream=(_ISSUE + "25824", _ISSUE + "15490"),
    ),
    Diagnosis(
        id="int8-slower", severity="advice", view="profile:operators",
        title="Dynamic int8 is slower here",
        symptom="The int8 form needs more time than the file as given.",
        fix="Keep the file as given on this machine.",
        upstream=(_ISSUE + "20052", _ISSUE + "6732", _ISSUE + "6695"),
    ),
    Diagnosis(
        id="int8-may-pay", severity="advice", view="profile:operators",
        title="Dynamic int8 may pay here",
        symptom="Most time goes into float matrix products, and this CPU has int8 instructions.",
        fix="Measure the dynamic-int8 variant beside this one, and look at its output error.",
    ),
    Diagnosis(
        id="oversubscribed", severity="advice",
        title="More threads than cores",
        symptom="The session has more intra-op threads than this process may use cores.",
        fix="Use as many threads as there are usable cores.",
        upstream=(_ISSUE + "29510", _ISSUE + "7207"),
    ),
    Diagnosis(
        id="thread-contention", severity="advice",
        title="More threads bring nothing",
        symptom="With more threads the run is no faster, but costs more CPU time.",
        fix="Use the smaller thread count, and run more sessions side by side if needed.",
        upstream=(_ISSUE + "20599", _ISSUE + "19384"),
    ),
    Diagnosis(
        id="pool-waiting", severity="advice", view="profile:operators",
        title="Threads wait for each other",
        symptom="In the thread pool the calling thread mostly waits for the others.",
        fix="Use fewer intra-op threads: pieces this small, or cores this busy, do not share well.",
        upstream=(_ISSUE + "20599",),
        since="1.10",
    ),
    Diagnosis(
        id="spinning", severity="advice",
        title="Waiting threads burn CPU time",
        symptom="The process uses much more CPU time than the work needs.",
        fix="Switch spinning off where CPU time matters (several processes, paced requests); "
        "it may cost latency.",
        upstream=(_ISSUE + "19384",),
    ),
    Diagnosis(
        id="parallel-slower", severity="advice",
        title="Parallel execution is slower",
        symptom="Running nodes side by side needs more time than one after another.",
        fix="Use sequential execution for this model.",
        upstream=(_ISSUE + "12877",),
    ),
    Diagnosis(
        id="io-binding-idle", severity="advice",
        title="IO binding does not pay",
        symptom="With inputs and outputs bound the run is no faster.",
        fix="Leave IO binding off; on the CPU there is no copy to save.",
        upstream=(_ISSUE + "10000", _ISSUE + "18475"),
    ),
    Diagnosis(
        id="copy-overhead", severity="advice", view="profile:operators",
        title="Copies between devices take time",
        symptom="Memcpy nodes move tensors between devices inside the run.",
        fix="Keep neighbouring nodes on one provider, and bind inputs and outputs to the device.",
        upstream=(_ISSUE + "16625", _ISSUE + "23154", _ISSUE + "21690"),
    ),
    Diagnosis(
        id="arena-memory", severity="advice",
        title="The arena keeps much memory",
        symptom="The process holds far more memory than the model's weights need.",
        fix="Switch the arena and the memory pattern off and compare both memory and time.",
        upstream=(_ISSUE + "9313", _ISSUE + "11118", _ISSUE + "22271"),
    ),
    Diagnosis(
        id="slow-session", severity="advice",
        title="Opening the session takes long",
        symptom="Creating the session takes as long as very many runs.",
        fix="Weights are repacked at every start. Let that happen in parallel, or keep the "
        "process alive between requests.",
        upstream=(_ISSUE + "13240", _ISSUE + "19022", _ISSUE + "10608"),
        since="1.31",
    ),
    Diagnosis(
        id="slow-first-run", severity="advice",
        title="The first run is far slower",
        symptom="The first run of a session takes much longer than the steady ones.",
        fix="Run once with a typical input before the first request is served.",
        upstream=(_ISSUE + "19838", _ISSUE + "17443"),
    ),
    # Doubts: what limits the trust in these numbers.
    Diagnosis(
        id="aa-control", severity="doubt",
        title="The control pair is not equal",
        symptom="The baseline measured against itself should give 1, and does not.",
        fix="Differences of this size in this study mean nothing. Measure longer, on a "
        "quieter machine.",
    ),
    Diagnosis(
        id="noisy-machine", severity="doubt", view="machine",
        title="Other work was on the machine",
        symptom="While this was measured, other processes, a neighbour or a limit took CPU time.",
        fix="Stop other work and measure again; intervals are wider than they need to be.",
    ),
    Diagnosis(
        id="short-run", severity="doubt",
        title="Runs too short to trust",
        symptom="The median run is under 50 µs, close to what a call itself costs.",
        fix="Raise the batch size; differences below a few µs are the caller's, not the model's.",
    ),
    Diagnosis(
        id="wide-interval", severity="doubt",
        title="The spread is too wide",
        symptom="The interval of a comparison is so wide that it hides real differences.",
        fix="Measure longer, or ask for a precision.",
    ),
    Diagnosis(
        id="not-steady", severity="doubt",
        title="Not steady yet",
        symptom="Warm-up ended at its limit before the latency stopped moving.",
        fix="Measure again with a longer warm-up; caches or clocks were still changing.",
    ),
    Diagnosis(
        id="drifting", severity="doubt",
        title="The latency drifts",
        symptom="The last rounds differ from the first ones.",
        fix="The machine changed while measuring, as when a CPU heats up. Let it rest, measure "
        "longer, and trust ratios (measured side by side) over latencies.",
    ),
    Diagnosis(
        id="few-sessions", severity="doubt",
        title="Few sessions",
        symptom="Sessions differ from themselves by a percent, and only few were opened.",
        fix="Measure longer: an interval over few sessions is wide or lucky.",
    ),
    Diagnosis(
        id="few-samples", severity="doubt",
        title="Too few runs for a p99",
        symptom="The 99th percentile needs more runs than were measured.",
        fix="Measure longer if the slowest runs matter to you.",
    ),
    Diagnosis(
        id="profile-misleads", severity="doubt", view="profile:operators",
        title="The profile can mislead",
        symptom="What the profiler wrote cannot be taken at face value.",
        fix="Read shares, not times, and see the reasons beside the profile's grade.",
        upstream=(_ISSUE + "20398", _ISSUE + "12880", _ISSUE + "16334"),
    ),
)  # fmt: skip
"""Problems first, then advice, then doubts. Issue links: checked 2026-11."""

BY_ID = {diagnosis.id: diagnosis for diagnosis in DIAGNOSES}
SEVERITIES: tuple[Severity, ...] = ("problem", "advice", "doubt")
"""In the order in which findings are shown."""
