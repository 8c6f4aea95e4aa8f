"""The schema of a feature: all that a reader needs to know to decode its values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from reproducible_ml.handlers.values import checked_range
from reproducible_ml.utils.errors import ConfigError, DataError

KINDS = ("bytes", "int64", "float")
ENCODINGS = ("raw", "png", "jpeg", "utf8", "list")


@dataclass(frozen=True)
class FeatureSchema:
    """The form of one feature in every record of a data set.

    Attributes:
        kind: Which list of ``tf.train.Feature`` holds the value: "bytes", "int64" or "float".
        dtype: NumPy name of the decoded value's type, or "string" for text.
        shape: Shape of the decoded value; None if it varies from record to record.
        encoding: How the list holds the value: "list" (its elements, in C order), or as one byte
            string that is "raw" (little-endian, C order), "png", "jpeg" or "utf8".
        description: What the feature is, for people; not part of the fingerprint.
        value_range: (low, high) that the reader maps to [-1, 1]; None leaves values as they are.
    """

    kind: str
    dtype: str
    shape: tuple[int, ...] | None
    encoding: str
    description: str = ""
    value_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"A feature has kind {self.kind!r}; choose from {', '.join(KINDS)}.")
        if self.encoding not in ENCODINGS:
            raise DataError(
                f"A feature has encoding {self.encoding!r}; choose from {', '.join(ENCODINGS)}."
            )

        # Equal schemas need equal JSON: (0, 255) and (0.0, 255.0) would change the fingerprint.
        if self.shape is not None:
            object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        try:
            object.__setattr__(self, "value_range", checked_range(self.value_range))
        except ConfigError as error:
            raise DataError(f"A feature's {error}.") from error

    def described(self, description: str) -> FeatureSchema:
        """Return the same schema with a description."""
        return replace(self, description=description)

    def to_json(self) -> dict[str, Any]:
        """Return the schema as JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> FeatureSchema:
        """Restore a schema from what ``to_json`` returned.

        Raises:
            DataError: A value is missing or has a wrong type.
        """
        try:
            return cls(
                kind=str(values["kind"]),
                dtype=str(values["dtype"]),
                shape=values["shape"],
                encoding=str(values["encoding"]),
                description=str(values["description"]),
                value_range=values["value_range"],
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(f"A feature's schema is damaged ({error!r}): {values}.") from error
