"""Handlers turn the fields of raw rows into features of records."""

from reproducible_ml.handlers.array import ArrayHandler
from reproducible_ml.handlers.base import FeatureHandler, batch_method, pick, pick_batch
from reproducible_ml.handlers.image import ImageHandler
from reproducible_ml.handlers.scalar import FloatHandler, IntegersHandler, LabelHandler
from reproducible_ml.handlers.schema import FeatureSchema
from reproducible_ml.handlers.text import TextHandler
from reproducible_ml.handlers.values import DTYPES

__all__ = [
    "DTYPES",
    "ArrayHandler",
    "FeatureHandler",
    "FeatureSchema",
    "FloatHandler",
    "ImageHandler",
    "IntegersHandler",
    "LabelHandler",
    "TextHandler",
    "batch_method",
    "pick",
    "pick_batch",
]
