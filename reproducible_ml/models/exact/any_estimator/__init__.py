"""Training of any Estimator: its data counted, its draws stateless, its losses logged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.models.exact.any_estimator.following import FollowingTraining
    from reproducible_ml.models.exact.any_estimator.lost_cluster import ends_with_the_cluster
    from reproducible_ml.models.exact.any_estimator.stateless_draws import make_draws_stateless
    from reproducible_ml.models.exact.any_estimator.training import (
        ExactTraining,
        TrainingEnd,
        Watched,
    )
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "ExactTraining",
    "FollowingTraining",
    "TrainingEnd",
    "Watched",
    "ends_with_the_cluster",
    "make_draws_stateless",
]
