"""The page of a report: facts about the runs, rendered by the template.

Style and script are inline. The page's security policy forbids loading anything or running another
script, so the content of a record can do neither.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from reproducible_ml import __version__
from reproducible_ml.report.curves import MOST_POINTS, make_plots
from reproducible_ml.report.data_sets import (
    FEATURE_COLUMNS,
    SHARD_COLUMNS,
    SPLIT_COLUMNS,
    data_sets,
)
from reproducible_ml.report.lineage import lineage
from reproducible_ml.report.pictures import picture_series
from reproducible_ml.report.sections import (
    config_rows,
    differences,
    environment_rows,
    overview_facts,
    package_rows,
    single_rows,
)
from reproducible_ml.tracking.runs import verdict_rows
from reproducible_ml.utils.errors import TrackingError
from reproducible_ml.utils.redaction import without_secrets
from reproducible_ml.utils.text import counted

if TYPE_CHECKING:
    from jinja2 import Environment

    from reproducible_ml.tracking.runs import Run

# Errors of sections for records that are damaged, truncated or written by another program.
_DAMAGE = (TrackingError, OSError, ValueError, KeyError, TypeError, AttributeError)


class _Part:
    """A section's content, or a sentence that says why there is no content."""

    def __init__(self, find: Callable[..., Any], *arguments: Any) -> None:
        self.found: Any = None
        self.problem = ""
        try:
            self.found = find(*arguments)
        except _DAMAGE as error:
            self.problem = f"This part of the record cannot be read: {error!r}"


def make_report(runs: Sequence[Run]) -> str:
    """Write the HTML of a report.

    Args:
        runs: The runs, which may be in different stores.
    """
    environment = _templates()
    loader = environment.loader
    assert loader is not None
    script = loader.get_source(environment, "report.js")[0]
    style = loader.get_source(environment, "report.css")[0]
    page = environment.get_template("report.html").render(
        **_content(runs),
        script=script,
        # The digest includes the template's line breaks around the script.
        script_digest=_digest(f"\n{script}\n"),
        style=style,
    )
    # JSON can hold half a surrogate pair, which UTF-8 cannot encode.
    return page.encode("utf-8", "replace").decode("utf-8")


@cache
def _templates() -> Environment:
    """Return the environment of the template, whose compilation takes the most of a report."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("reproducible_ml.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(breakable=breakable, counted=counted)
    return environment


def breakable(name: Any) -> Markup:
    """Return a name with possible line breaks after ``_`` and ``.`` only.

    Args:
        name: Any text; markup in it is escaped.
    """
    parts = re.split(r"(?<=[_.])(?=.)", str(name))
    return Markup("<wbr>").join(parts)


def _content(runs: Sequence[Run]) -> dict[str, Any]:
    reported = [run.id for run in runs]
    drawn = _Part(lambda: make_plots([(f"Run {run.id}", run.points) for run in runs]))
    plots = [one for one in drawn.found or () if not one.is_single]
    return {
        "runs": [_head(run) for run in runs],
        "reported": reported,
        "config": _Part(config_rows, runs),
        "curves_problem": drawn.problem,
        "plots": plots,
        "plot_data": [_plot_data(one) for one in plots],
        "single_values": single_rows(drawn.found or (), len(runs)),
        "most_points": MOST_POINTS,
        "without_points": [run.id for run in runs if not _points(run)],
        "pictures": [(run.id, _Part(picture_series, run)) for run in runs],
        "data": _Part(data_sets, runs),
        "without_data": [run.id for run in runs if not run.facts.get("dataset")],
        "feature_columns": FEATURE_COLUMNS,
        "split_columns": SPLIT_COLUMNS,
        "shard_columns": SHARD_COLUMNS,
        "lineage": [(run.id, _Part(lineage, run)) for run in runs],
        "comparisons": [(run.id, _Part(differences, runs[0], run)) for run in runs[1:]],
        "environment": _Part(environment_rows, runs),
        "without_environment": [run.id for run in runs if not run.environment],
        "packages": _Part(package_rows, runs),
        "version": __version__,
        "made": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        "redacted": without_secrets,
    }


def _head(run: Run) -> dict[str, Any]:
    trace = run.entry.get("fail_trace") or []
    return {
        "id": run.id,
        "experiment": run.experiment or "unnamed experiment",
        "status": run.status,
        "store": run.store.shown,
        "facts": _Part(overview_facts, run),
        "trace": without_secrets("".join(f"{str(part).rstrip()}\n" for part in trace)),
        "verdict": without_secrets(run.verdict),
        "verdicts": _Part(lambda: verdict_rows(without_secrets(run.facts.get("verdicts")))),
    }


def _points(run: Run) -> bool:
    try:
        return any(one["values"] for one in run.points.values())
    except _DAMAGE:
        return False


def _plot_data(plot: Any) -> dict[str, Any]:
    return {
        "first": plot.first_step,
        "last": plot.last_step,
        "lines": [
            {"label": one.label, "steps": one.steps, "values": one.values} for one in plot.lines
        ],
    }


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
