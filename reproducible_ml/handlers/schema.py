"""The schema of a feature: all that a reader needs to know to decode its values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from reproducible_ml.handlers.ranges import SIGNED_UNIT, ValueSpan
from reproducible_ml.handlers.values import checked_range, checked_shape
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
        minimum: The least value in the data set, and ``maximum`` the largest; None where it was not
            taken down. They follow from the content, so they are not part of the fingerprint.
    """

    kind: str
    dtype: str
    shape: tuple[int, ...] | None
    encoding: str
    description: str = ""
    value_range: tuple[float, float] | None = None
    minimum: int | float | None = field(default=None, compare=False)
    maximum: int | float | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"A feature has kind {self.kind!r}; choose from {', '.join(KINDS)}.")
        if self.encoding not in ENCODINGS:
            raise DataError(
                f"A feature has encoding {self.encoding!r}; choose from {', '.join(ENCODINGS)}."
            )

        # Equal schemas need equal JSON: (0, 255) and (0.0, 255.0) would change the fingerprint.
        try:
            if self.shape is not None:
                object.__setattr__(self, "shape", checked_shape(self.shape))
        except ConfigError as error:
            raise DataError(f"A feature's shape is damaged: {error}.") from error
        try:
            object.__setattr__(self, "value_range", checked_range(self.value_range))
        except ConfigError as error:
            raise DataError(f"A feature's {error}.") from error

    def described(self, description: str) -> FeatureSchema:
        """Return the same schema with a description."""
        return replace(self, description=description)

    @property
    def span(self) -> ValueSpan | None:
        """The least and the largest value; None where they were not taken down."""
        if self.minimum is None or self.maximum is None:
            return None
        return ValueSpan(self.minimum, self.maximum)

    def spanning(self, span: ValueSpan | None) -> FeatureSchema:
        """Return the same schema with the values' span; None removes it."""
        if span is None or not span.is_finite:
            return replace(self, minimum=None, maximum=None)
        return replace(self, minimum=span.minimum, maximum=span.maximum)

    def ranging(self, value_range: tuple[float, float]) -> FeatureSchema:
        """Return the same schema with a range; floats of -1 to 1 are left as they are."""
        as_is = value_range == SIGNED_UNIT and self.dtype.startswith("float")
        return replace(self, value_range=None if as_is else value_range)

    def to_json(self) -> dict[str, Any]:
        """Return the schema as JSON types; without the span where there is none, as before 1.1."""
        spans = ("minimum", "maximum")
        return {k: v for k, v in asdict(self).items() if k not in spans or v is not None}

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
                minimum=_number(values.get("minimum")),
                maximum=_number(values.get("maximum")),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(f"A feature's schema is damaged ({error!r}): {values}.") from error


def _number(value: Any) -> Any:
    """Return a value that is a number or None.

    Raises:
        TypeError: It is neither.
    """
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise TypeError(f"found {value!r}, expected a number")
