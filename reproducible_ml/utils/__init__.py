"""Helpers that every other package may use: features, paths, images, seeds, digests and more."""

from reproducible_ml.utils.features import bytes_feature, float_feature, int64_feature
from reproducible_ml.utils.paths import mkdir_and_join

__all__ = ["bytes_feature", "float_feature", "int64_feature", "mkdir_and_join"]
