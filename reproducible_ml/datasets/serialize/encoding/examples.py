"""Encoding of rows as serialized Examples that all follow one schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from reproducible_ml.datasets.serialize.encoding.watch import Watch
from reproducible_ml.datasets.serialize.settings import check_text
from reproducible_ml.handlers import FeatureHandler, FeatureSchema
from reproducible_ml.utils.errors import ConfigError, DataError, ReproducibleMLError


class ExampleMaker:
    """Turns rows into Examples and checks each one against the schema.

    Args:
        keys_to_handlers: Feature name -> its handler.
        descriptions: Feature name -> what it is, for people.
        watched: Refuse values outside the range of their feature.

    Raises:
        ConfigError: A name or description is not a string, or a handler not a ``FeatureHandler``.
        DataError: There is no handler, or a description of a feature that no handler makes.
    """

    def __init__(
        self,
        keys_to_handlers: Mapping[str, FeatureHandler],
        descriptions: Mapping[str, str] | None = None,
        watched: bool = True,
    ) -> None:
        if not keys_to_handlers:
            raise DataError("keys_to_handlers is empty: a record needs at least one feature.")
        self.handlers = dict(keys_to_handlers)
        self._descriptions = dict(descriptions or {})
        unknown = [key for key in self._descriptions if key not in self.handlers]
        if unknown:
            raise DataError(
                f"keys_to_descriptions describes {', '.join(map(str, unknown))}, which no handler "
                f"makes; the handlers' keys are {', '.join(map(str, self.handlers))}."
            )
        for key, handler in self.handlers.items():
            check_text("A key of keys_to_handlers", key)
            if not isinstance(handler, FeatureHandler):
                raise ConfigError(
                    f"keys_to_handlers has {handler!r} for {key!r}, expected a FeatureHandler, "
                    "such as LabelHandler()."
                )
        for key, description in self._descriptions.items():
            check_text(f"The description of {key!r}", description)
        self._schema: dict[str, FeatureSchema] | None = None
        self._watched = watched
        self.watch = Watch({}, {})

    @property
    def schema(self) -> dict[str, FeatureSchema]:
        """The schema, as declared by the handlers or else learnt from the first record."""
        return dict(self._schema or {})

    def features(self, row: Any) -> dict[str, Any]:
        """Handle one row.

        Returns:
            Feature name -> ``tf.train.Feature``.

        Raises:
            DataError: Two handlers make one feature, or a feature does not match the schema.
        """
        if self._schema is None:
            for key, handler in self.handlers.items():
                with naming(key):
                    self.handlers[key] = handler.bind(row, key)
        found: dict[str, Any] = {}
        for key, handler in self.handlers.items():
            made = handled(handler, row, key)
            twice = [name for name in made if name in found]
            if twice:
                raise DataError(
                    f"feature {twice[0]!r} is made twice, the second time by the handler of "
                    f"{key!r}; change one of the two names"
                )
            found.update(made)
        if self._schema is None:
            self._schema = self._learn(found)
            self.watch = Watch(self._schema if self._watched else {}, self.handlers)
        check_features(found, self._schema)
        for name, feature in found.items():
            self.see(name, feature, self._schema[name].kind)
        return found

    def see(self, name: str, feature: Any, kind: str) -> None:
        """Look at the values of a feature, see ``Watch``.

        Raises:
            FieldError: A value is outside the feature's range, NaN or infinite.
        """
        with naming(name):
            self.watch.see(name, getattr(feature, f"{kind}_list").value)

    def serialize(self, row: Any) -> bytes:
        """Handle one row and serialize its Example; equal features give equal bytes."""
        import tensorflow as tf

        example = tf.train.Example(features=tf.train.Features(feature=self.features(row)))
        payload: bytes = example.SerializeToString(deterministic=True)
        return payload

    def _learn(self, features: Mapping[str, Any]) -> dict[str, FeatureSchema]:
        schema = {}
        for name, feature in features.items():
            if not isinstance(name, str):
                raise DataError(f"feature {name!r} has a name that is not a string")
            handler = self.handlers.get(name)
            with naming(name):
                declared = None if handler is None else handler.schema()
            form = declared or _learnt(name, feature)
            schema[name] = form.described(self._descriptions.get(name, form.description))
        return schema


def handled(handler: FeatureHandler, row: Any, key: str) -> Mapping[str, Any]:
    """Handle a row with one handler.

    Raises:
        FieldError: The handler failed, or did not return features.
    """
    with naming(key):
        made: Any = handler.handle(row, key)
        if not isinstance(made, Mapping):
            raise DataError(
                f"{type(handler).__name__}.handle returned type {type(made).__name__}, "
                "expected {key: tf.train.Feature}"
            )
    return made


def _learnt(name: str, feature: Any) -> FeatureSchema:
    """Learn the schema of a feature from its first occurrence."""
    kind = _kind(name, feature)
    values = getattr(feature, f"{kind}_list").value
    if kind == "bytes":
        if len(values) != 1:
            raise DataError(f"feature {name!r} holds {len(values)} byte strings, expected one")
        return FeatureSchema("bytes", "uint8", (len(values[0]),), "raw")
    shape = () if len(values) == 1 else (len(values),)
    return FeatureSchema(kind, "int64" if kind == "int64" else "float32", shape, "list")


class FieldError(DataError):
    """A field that its handler can't handle, or a feature that does not match its schema.

    Attributes:
        field: Name of the field.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@contextmanager
def naming(field: str) -> Iterator[None]:
    """Add the name of the field to any error that its handler raises."""
    named = f"field {field!r}"
    try:
        yield
    except (FieldError, ConfigError, MemoryError):
        raise
    except ReproducibleMLError as error:
        text = f"{error}" if named in f"{error}" else f"{named}: {error}"
        raise FieldError(field, text) from error
    except Exception as error:
        text = f"{named}: its handler failed with {type(error).__name__}: {error}"
        raise FieldError(field, text) from error


def check_features(features: Mapping[str, Any], schema: Mapping[str, FeatureSchema]) -> None:
    """Check a record's features against a schema.

    Raises:
        FieldError: A feature does not match its schema.
        DataError: The record has other features than the schema.
    """
    if features.keys() != schema.keys():
        raise DataError(
            f"the record has the features {', '.join(sorted(features))}; expected "
            f"{', '.join(sorted(schema))}"
        )
    for name, feature in features.items():
        _check_form(name, feature, schema[name])


def _check_form(name: str, feature: Any, schema: FeatureSchema) -> None:
    kind = _kind(name, feature)
    if kind != schema.kind:
        raise FieldError(name, f"feature {name!r} is a {kind} list, expected a {schema.kind} list")
    values = getattr(feature, f"{kind}_list").value
    if kind == "bytes" and len(values) != 1:
        raise FieldError(name, f"feature {name!r} holds {len(values)} byte strings, expected one")
    wanted = expected_size(schema)
    size = len(values[0]) if kind == "bytes" else len(values)
    if wanted is not None and size != wanted:
        unit = "bytes" if kind == "bytes" else "values"
        raise FieldError(
            name,
            f"feature {name!r} has {size} {unit}, expected {wanted} as its schema says "
            f"({schema.dtype}, shape {schema.shape})",
        )


def expected_size(schema: FeatureSchema) -> int | None:
    """Return the number of values, or of bytes, in a feature's list; None if it varies."""
    import numpy as np

    if schema.shape is None or schema.encoding not in ("raw", "list"):
        return None
    count = int(np.prod(schema.shape, dtype=np.int64))
    return count * np.dtype(schema.dtype).itemsize if schema.encoding == "raw" else count


def _kind(name: str, feature: Any) -> str:
    try:
        which = feature.WhichOneof("kind")
    except AttributeError:
        raise FieldError(
            name,
            f"feature {name!r} is of type {type(feature).__name__}, expected a tf.train.Feature",
        ) from None
    if which is None:
        raise FieldError(name, f"feature {name!r} is empty; its handler must set a value")
    return str(which).removesuffix("_list")
