"""Handlers turn the fields of raw rows into features of records."""

from reproducible_ml.handlers.array import ArrayHandler
from reproducible_ml.handlers.base import FeatureHandler, batch_method, pick, pick_batch
from reproducible_ml.handlers.image import ImageHandler
from reproducible_ml.handlers.image_file import conversions
from reproducible_ml.handlers.ranges import (
    SIGNED_UNIT,
    ValueSpan,
    check_span,
    dtype_limits,
    is_covered,
    not_finite,
    range_of,
    range_text,
    span_of,
)
from reproducible_ml.handlers.scalar import FloatHandler, IntegersHandler, LabelHandler
from reproducible_ml.handlers.schema import FeatureSchema
from reproducible_ml.handlers.text import TextHandler
from reproducible_ml.handlers.values import DTYPES, checked_range, checked_shape

__all__ = [
    "DTYPES",
    "SIGNED_UNIT",
    "ArrayHandler",
    "FeatureHandler",
    "FeatureSchema",
    "FloatHandler",
    "ImageHandler",
    "IntegersHandler",
    "LabelHandler",
    "TextHandler",
    "ValueSpan",
    "batch_method",
    "check_span",
    "checked_range",
    "checked_shape",
    "conversions",
    "dtype_limits",
    "is_covered",
    "not_finite",
    "pick",
    "pick_batch",
    "range_of",
    "range_text",
    "span_of",
]
