"""Handlers: from the fields of raw rows to the features of records."""

from reproducible_ml.handlers.array import ArrayHandler
from reproducible_ml.handlers.base import FeatureHandler, field_of
from reproducible_ml.handlers.image import ImageHandler
from reproducible_ml.handlers.scalar import FloatHandler, LabelHandler
from reproducible_ml.handlers.schema import FeatureSchema
from reproducible_ml.handlers.text import TextHandler

__all__ = [
    "ArrayHandler",
    "FeatureHandler",
    "FeatureSchema",
    "FloatHandler",
    "ImageHandler",
    "LabelHandler",
    "TextHandler",
    "field_of",
]
