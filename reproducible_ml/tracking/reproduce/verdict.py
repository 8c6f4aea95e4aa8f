"""The verdict on a rerun: whether it gave the same bits, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reproducible_ml.tracking.reproduce import first_difference
from reproducible_ml.tracking.reproduce.comparison import Difference, metric_difference
from reproducible_ml.tracking.reproduce.divergence import Divergence, first_divergence, same_steps
from reproducible_ml.tracking.reproduce.evidence import Evidence, Stream, kept_points
from reproducible_ml.utils.text import SHORT_DIGEST, counted

IDENTICAL, DIFFERS = "identical", "differs"
# In larger artifacts the first byte that differs is not looked for.
_LARGEST_COMPARED_BYTES = 512 << 20
_NO_POINTS: Stream = {"steps": [], "values": []}


@dataclass(frozen=True)
class Row:
    """One part of the comparison, as strings.

    Attributes:
        part: What is compared.
        recorded: The recorded run's side.
        again: The rerun's side.
        equal: Whether both are the same bit for bit; None if neither has a value to compare, or if
            they differ and the run says that they may.
        ignored: Whether they differ and may.
    """

    part: str
    recorded: str
    again: str
    equal: bool | None
    ignored: bool = False


@dataclass(frozen=True)
class Verdict:
    """The outcome of a comparison.

    Attributes:
        rows: Every part.
        divergence: The first difference in the steps, if there is one.
        metric: The first differing point of a metric, if there is one.
        steps: Steps that were compared; None for all.
        details: For every differing part of other kinds its first difference, in words.
        scope: What else the verdict doesn't cover, in words; empty if nothing.
    """

    rows: tuple[Row, ...]
    divergence: Divergence | None
    metric: Difference | None
    steps: int | None = None
    details: tuple[str, ...] = ()
    scope: str = ""

    @property
    def word(self) -> str:
        """``identical`` or ``differs``."""
        return DIFFERS if any(row.equal is False for row in self.rows) else IDENTICAL

    @property
    def sentence(self) -> str:
        """The verdict in a sentence, with the first difference if there is one."""
        return self._outcome + (f" ({self.scope})" if self.scope else "")

    @property
    def other_inputs(self) -> list[str]:
        """Names of the inputs that hold other bytes than the recorded run read."""
        rows = (row for row in self.rows if row.part.startswith("input "))
        return [row.part for row in rows if row.equal is False]

    @property
    def _outcome(self) -> str:
        if self.word == IDENTICAL:
            return IDENTICAL if self.steps is None else f"{IDENTICAL} up to step {self.steps}"
        inputs = self.other_inputs
        reason = f"; the {' and the '.join(inputs)} is not the recorded one" if inputs else ""
        if self.divergence is not None:
            return f"{DIFFERS} {self.divergence.describe()}{reason}"
        if self.metric is not None:
            first = self.metric
            values = f"{first.a!r} / {first.b!r}"
            return f"{DIFFERS} at step {first.step}: metric {first.name} {values}{reason}"
        others = [one for one in self.details if not one.startswith("input ")]
        told = {one.partition(": ")[0] for one in self.details}
        parts = [row.part for row in self.rows if row.equal is False and row.part not in told]
        if not (parts or others):
            return f"{DIFFERS} in {', '.join(inputs)}"
        return f"{DIFFERS} in {', '.join([*parts, *others[:1]])}{reason}"


def judge(recorded: Evidence, again: Evidence, scope: str = "") -> Verdict:
    """Compare two runs of one stage bit for bit.

    Args:
        recorded: What the recorded run holds, as ``needed_evidence`` returns it.
        again: What its rerun holds, up to the same step.
        scope: What the verdict can't cover, for its sentence.
    """
    metrics = list(_metrics(recorded, again))
    parts = [
        *_input_parts(recorded, again),
        *_digest_parts(recorded, again),
        *((row, "") for row in _log_rows(recorded, again)),
        *((row, "") for row, _ in metrics),
        *_result_parts(recorded, again),
        *_artifact_parts(recorded, again),
    ]
    differences = [difference for _, difference in metrics if difference is not None]
    return Verdict(
        tuple(row for row, _ in parts),
        _divergence(recorded, again),
        min(differences, key=lambda one: (one.step or 0, one.name), default=None),
        recorded.steps,
        tuple(f"{row.part}: {detail}" for row, detail in parts if row.equal is False and detail),
        scope,
    )


def _divergence(recorded: Evidence, again: Evidence) -> Divergence | None:
    if recorded.losses is None or again.losses is None:
        return None
    return first_divergence(recorded.losses, again.losses, recorded.tensors, again.tensors)


# A part, and the first difference in it in words; empty without one.
_Part = tuple[Row, str]


def _input_parts(recorded: Evidence, again: Evidence) -> Iterator[_Part]:
    for key, digest in recorded.inputs.items():
        other = again.inputs.get(key)
        if other is not None:
            texts = _short(digest), _short(other)
            detail = f"SHA-256 {texts[0]} / {texts[1]}"
            yield _row(f"input {key}", recorded, texts, digest == other, False), detail


def _digest_parts(recorded: Evidence, again: Evidence) -> Iterator[_Part]:
    for name, digest in sorted(recorded.digests.items()):
        other = again.digests.get(name)
        nothing = digest is None and other is None
        texts, detail = (_short(digest), _short(other)), ""
        if digest != other and name in recorded.arrays and name in again.arrays:
            arrays = recorded.arrays[name], again.arrays[name]
            detail = first_difference.in_arrays(*arrays, recorded.files, again.files)
        yield _row(name, recorded, texts, digest == other, nothing, recorded.ignores(name)), detail


def _short(digest: Any) -> str:
    return "none" if digest is None else str(digest)[:SHORT_DIGEST]


def _artifact_parts(recorded: Evidence, again: Evidence) -> Iterator[_Part]:
    # A run that a stage has sealed lists none.
    names = recorded.artifacts.keys() | again.artifacts.keys() if recorded.artifacts else ()
    for name in sorted(names):
        one, other = recorded.artifacts.get(name), again.artifacts.get(name)
        texts = _short(one and one[0]), _short(other and other[0])
        detail = ""
        sizes = [found[1] for found in (one, other) if found is not None]
        if len(sizes) == 2 and one != other and max(sizes) <= _LARGEST_COMPARED_BYTES:
            contents = recorded.files.get(name), again.files.get(name)
            if None not in contents:
                detail = first_difference.in_bytes(*contents)  # type: ignore[arg-type]
        ignored = recorded.ignores(name)
        yield _row(f"artifact {name}", recorded, texts, one == other, False, ignored), detail


def _log_rows(recorded: Evidence, again: Evidence) -> Iterator[Row]:
    left = recorded.losses
    if left is None:
        return
    right = left[:0] if again.losses is None else again.losses
    counts = counted(len(left), "step"), counted(len(right), "step")
    same = same_steps(left, right)
    yield _row("losses of every step", recorded, counts, same, not len(left) and not len(right))
    # Only the recorded run's steps: with --set, the rerun may take digests more often.
    steps = recorded.tensors
    equal_at = [step for step in steps if steps[step] == again.tensors.get(step)]
    texts = f"at {counted(len(steps), 'step')}", f"equal at {len(equal_at)}"
    yield _row("weight digests", recorded, texts, len(equal_at) == len(steps), not steps)


def _metrics(recorded: Evidence, again: Evidence) -> Iterator[tuple[Row, Difference | None]]:
    for name in sorted(recorded.metrics.keys() | again.metrics.keys()):
        left = recorded.metrics.get(name, _NO_POINTS)
        right = again.metrics.get(name, _NO_POINTS)
        # A run logs its last step whatever its number: the rerun's may be in the middle of the
        # recorded run, which has no point there.
        if recorded.steps is not None and recorded.steps not in left["steps"]:
            right = kept_points(right, [step != recorded.steps for step in right["steps"]])
        ignored = recorded.ignores(name)
        difference = metric_difference(name, left, right)
        counts = len(left["values"]), len(right["values"])
        texts = counted(counts[0], "point"), counted(counts[1], "point")
        yield (
            _row(f"metric {name}", recorded, texts, difference is None, not any(counts), ignored),
            None if ignored else difference,
        )


def _result_parts(recorded: Evidence, again: Evidence) -> Iterator[_Part]:
    if recorded.steps is not None:
        return
    nothing = recorded.result is None and again.result is None
    found = [
        (name, text)
        for name, text in first_difference.in_results(recorded.result, again.result)
        if not recorded.ignores(name)
    ]
    name, text = found[0] if found else ("", "")
    detail = text if name == "result" else f"{name.partition('.')[2]} {text}"
    row = _row("result", recorded, ("", ""), not found, nothing, recorded.ignores("result"))
    yield row, detail


def _row(
    part: str,
    recorded: Evidence,
    texts: tuple[str, str],
    same: bool,
    nothing: bool,
    ignored: bool = False,
) -> Row:
    """Make a row; one with nothing to compare says so and has no part in the verdict."""
    if ignored and not same:
        return Row(part, *texts, None, ignored=True)
    if not nothing:
        return Row(part, *texts, same)
    steps = recorded.steps
    return Row(part, "none recorded" if steps is None else f"none up to step {steps}", "", None)
