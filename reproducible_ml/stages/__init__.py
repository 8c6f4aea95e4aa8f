"""Stages, which an experiment's main runs: serializing data, training and evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.stages.checks import (
        check_classifier,
        check_data,
        check_evaluation,
        check_gan,
        check_training,
    )
    from reproducible_ml.stages.data import serialize_stage
    from reproducible_ml.stages.defaults import fill_in_defaults, gan_metrics
    from reproducible_ml.stages.estimator import train
    from reproducible_ml.stages.evaluation import classifier_stage, evaluation_stage
    from reproducible_ml.stages.training import gan_stage
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "check_classifier",
    "check_data",
    "check_evaluation",
    "check_gan",
    "check_training",
    "classifier_stage",
    "evaluation_stage",
    "fill_in_defaults",
    "gan_metrics",
    "gan_stage",
    "serialize_stage",
    "train",
]
