"""Repeatable search: Optuna chooses the members of a sweep, and would choose the same ones again.

Optuna is asked for groups of trials that run side by side, and is told their results in the order
in which it was asked, whichever ended first. So every trial follows from the sampler's seed and the
results before it: the same command repeats the search, takes recorded runs instead of running them
again, and thereby resumes a killed search. ``study.log`` in the sweep's folder is Optuna's journal.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.sweep.member import Member
from reproducible_ml.tracking.sweep.sweep import Sweep
from reproducible_ml.tracking.sweep.values import SEED, Parameters, Space
from reproducible_ml.utils.errors import ConfigError

STUDY_FILE = "study.log"


@dataclass(frozen=True)
class Search:
    """The options of a search.

    Attributes:
        trials: Number of combinations to try.
        direction: "minimize" or "maximize".
        metric: The metric to optimize; with several seeds, its mean.
        seed: Seed of the sampler.
    """

    trials: int
    direction: str
    metric: str
    seed: int = 0


def require_optuna() -> None:
    """Check that Optuna is installed.

    Raises:
        ConfigError: It isn't; the message says how to install it.
    """
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError(
            'A search needs Optuna: pip install "reproducible-ml[search]", or in a checkout '
            '.venv/bin/python -m pip install -e ".[search]".'
        )


def check_space(space: Space) -> None:
    """Check that there is something to search.

    Raises:
        ConfigError: Every parameter except the seed has only one value.
    """
    if not [key for key in space.varied if key != SEED]:
        raise ConfigError(
            "There is nothing to search: give a key several values (gan_type=wgan,lsgan) or a "
            "range (gen_lr=log:1e-5..1e-3, batch_size=16..64)."
        )


def seeds_of(space: Space) -> Sequence[str | None]:
    """Return the seeds that every trial runs with; a single None if no seed is given."""
    return space.values.get(SEED, (None,))


def run_search(sweep: Sweep, space: Space, search: Search) -> None:
    """Run all trials.

    Raises:
        TrackingError: The runs have no such metric.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seeds = seeds_of(space)
    side_by_side = max(1, -(-sweep.request.jobs // len(seeds)))
    distributions = _distributions(space)
    sampler = optuna.samplers.TPESampler(seed=search.seed)
    study = optuna.create_study(direction=search.direction, sampler=sampler)
    while len(study.trials) < search.trials:
        count = min(side_by_side, search.trials - len(study.trials))
        trials = [study.ask(distributions) for _ in range(count)]
        parameters = [_parameters(space, trial.params, seed) for trial in trials for seed in seeds]
        members = sweep.execute(parameters)
        sweep.require_measured()
        for number, trial in enumerate(trials):
            group = members[number * len(seeds) : (number + 1) * len(seeds)]
            value = _mean(group, search.metric)
            if value is None:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, value)
        _keep(study, sweep.folder / STUDY_FILE)


def _keep(study: Any, path: Path) -> None:
    """Append new trials to Optuna's journal, which lies beside the logs."""
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    storage = JournalStorage(JournalFileBackend(str(path)))
    kept = optuna.create_study(
        study_name="sweep", storage=storage, direction=study.direction, load_if_exists=True
    )
    for trial in study.trials[len(kept.trials) :]:
        kept.add_trial(trial)


def _distributions(space: Space) -> dict[str, Any]:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    found: dict[str, Any] = {}
    for key, texts in space.values.items():
        if key != SEED and len(texts) > 1:
            found[key] = CategoricalDistribution(list(texts))
    for key, one in space.intervals.items():
        if one.whole:
            found[key] = IntDistribution(int(one.low), int(one.high), log=one.log)
        else:
            found[key] = FloatDistribution(one.low, one.high, log=one.log)
    return found


def _parameters(space: Space, chosen: dict[str, Any], seed: str | None) -> Parameters:
    fixed = {key: texts[0] for key, texts in space.values.items() if key != SEED}
    drawn = {key: one if isinstance(one, str) else repr(one) for key, one in chosen.items()}
    return {**fixed, **drawn, **({} if seed is None else {SEED: seed})}


def _mean(group: Sequence[Member], metric: str) -> float | None:
    """Return the mean over a trial's seeds; None if a seed failed or measured no number."""
    if any(metric not in one.measured for one in group if one.measured is not None):
        return None
    values = [one.measured[metric] for one in group if one.measured is not None]
    if len(values) < len(group) or any(math.isnan(one) for one in values):
        return None
    return math.fsum(values) / len(values)
