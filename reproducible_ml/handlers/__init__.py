"""Handlers: raw rows to features."""

from reproducible_ml.handlers.array import ArrayHandler
from reproducible_ml.handlers.base import FeatureHandler, pick, pick_batch
from reproducible_ml.handlers.image import ImageHandler
from reproducible_ml.handlers.scalar import FloatHandler, IntegersHandler, LabelHandler
from reproducible_ml.handlers.schema import FeatureSchema
from reproducible_ml.handlers.text import TextHandler

__all__ = [
    "ArrayHandler",
    "FeatureHandler",
    "FeatureSchema",
    "FloatHandler",
    "ImageHandler",
    "IntegersHandler",
    "LabelHandler",
    "TextHandler",
    "pick",
    "pick_batch",
]
