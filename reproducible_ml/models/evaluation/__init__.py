"""Evaluation of samples: a classifier, the figures computed with it, nearest neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.models.evaluation.classifier import DESCRIPTION_FILE, Classifier
    from reproducible_ml.models.evaluation.classifier_training import (
        ClassifierResult,
        ClassifierSettings,
        measure_accuracy,
        train_classifier,
    )
    from reproducible_ml.models.evaluation.evaluate import Evaluation, evaluate_gan
    from reproducible_ml.models.evaluation.figures import (
        FIGURES,
        FigureKind,
        figure_names,
        figures_of,
        judge,
        need_samples,
    )
    from reproducible_ml.models.evaluation.real_images import (
        judge_floor,
        split_labels,
        split_outputs,
    )
    from reproducible_ml.models.evaluation.while_training import PREFIX, evaluate_small
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "DESCRIPTION_FILE",
    "FIGURES",
    "PREFIX",
    "Classifier",
    "ClassifierResult",
    "ClassifierSettings",
    "Evaluation",
    "FigureKind",
    "evaluate_gan",
    "evaluate_small",
    "figure_names",
    "figures_of",
    "judge",
    "judge_floor",
    "measure_accuracy",
    "need_samples",
    "split_labels",
    "split_outputs",
    "train_classifier",
]
