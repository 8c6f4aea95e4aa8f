"""The conclusion from comparing two runs, in the same sentences for ``compare`` and report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reproducible_ml.tracking.reproduce.comparison import Comparison, Difference, compare_runs
from reproducible_ml.tracking.reproduce.divergence import Divergence, divergence_of, step_logs
from reproducible_ml.tracking.runs import NOT_ENDED, UNREADABLE, Run
from reproducible_ml.utils.text import counted, shown


@dataclass(frozen=True)
class Conclusion:
    """The conclusion from comparing two runs.

    Attributes:
        found: Every difference.
        divergence: The first difference in the logs of every step, if there is one.
        reason: Why the results can't be compared; empty if they can.
        lasts: The last step of each run, if one of them ended earlier and both are equal up to
            there; None otherwise.
        logged: Whether both have logs of every step.
    """

    found: Comparison
    divergence: Divergence | None
    reason: str
    lasts: tuple[Any, Any] | None
    logged: bool

    @property
    def identical(self) -> bool:
        """Whether metrics, steps and result are equal bit for bit, whatever else differs."""
        return self.found.identical and self.divergence is None

    @property
    def sentences(self) -> list[str]:
        """The first difference, then whether the results are equal."""
        return [*self._first(), *self._results()]

    def _first(self) -> Iterator[str]:
        if self.divergence is not None:
            yield f"First difference {self.divergence.describe()}."
            return
        if self.lasts is not None:
            ended = min(zip(self.lasts, (self.found.a, self.found.b)), key=lambda one: one[0])
            yield f"Run {ended[1].id} ends at step {ended[0]}."
            return
        metric = self.found.first_metric
        if metric is not None:
            yield f"First differing point: {self._point(metric)}."

    def _point(self, metric: Difference) -> str:
        place = f"{metric.name} at step {metric.step}"
        for value, run in ((metric.a, self.found.a), (metric.b, self.found.b)):
            if value is None:
                return f"{place}, which run {run.id} doesn't have"
        return f"{place}: {shown(metric.a)} / {shown(metric.b)}"

    def _results(self) -> Iterator[str]:
        if self.reason:
            yield f"The results cannot be compared: {self.reason}."
        elif self.identical:
            yield "The results are identical, bit for bit."
        else:
            yield "The results differ."
        if self.lasts is not None and self.divergence is None:
            common = min(self.lasts)
            if self.logged:
                yield f"The {counted(common, 'step')} that both have logged are equal."
            else:
                yield f"Up to step {common} the metrics of both are equal."


def conclude(a: Run, b: Run) -> Conclusion:
    """Compare two runs, which may be in different stores."""
    found = compare_runs(a, b)
    divergence = divergence_of(a, b)
    logs = step_logs(a), step_logs(b)
    lasts: tuple[Any, Any] | None = None
    if logs[0] is not None and logs[1] is not None:
        lengths = len(logs[0][0]), len(logs[1][0])
        lasts = lengths if lengths[0] != lengths[1] and divergence is None else None
    elif found.of("metrics") and all(one.ended for one in found.of("metrics")):
        lasts = _last_step(a), _last_step(b)
        lasts = lasts if None not in lasts and lasts[0] != lasts[1] else None
    logged = logs[0] is not None and logs[1] is not None
    return Conclusion(found, divergence, why_not(a, b), lasts, logged)


def why_not(a: Run, b: Run) -> str:
    """Return why the results of two runs can't be compared; empty if they can."""
    if a.experiment != b.experiment:
        return f"the experiments differ: {a.experiment or '-'} and {b.experiment or '-'}"
    for run in (a, b):
        if run.status in (*NOT_ENDED, UNREADABLE):
            return f"run {run.id} is {run.status}"
    for run in (a, b):
        if run.result is None and not run.points and not run.facts.get("digest"):
            return f"run {run.id} ({run.status}) has neither a result nor metrics"
    return ""


def _last_step(run: Run) -> Any:
    steps = [one["steps"][-1] for one in run.points.values() if one["steps"]]
    return max(steps, default=None)
