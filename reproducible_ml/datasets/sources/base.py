"""The base classes of sources: named splits of rows, with the handlers that fit them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reproducible_ml.datasets.rows import ArrayRows
from reproducible_ml.handlers import FeatureHandler, ImageHandler, LabelHandler
from reproducible_ml.utils.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_LIBRARY = "reproducible_ml."


def recorded_path(path: str | Path) -> str:
    """Return a path as the manifest records it: absolute, so that it is valid from any folder.

    Raises:
        DataError: It is not UTF-8, so the manifest can't record it.
    """
    absolute = str(Path(path).absolute())
    try:
        absolute.encode()
    except UnicodeEncodeError:
        raise DataError(f"{absolute!r} has a name that is not UTF-8; rename it.") from None
    return absolute


def code_of(opened_by: Any) -> str | None:
    """Return ``module:name`` of a class or function outside this library; None for one of it."""
    # A partial function has neither.
    module, name = getattr(opened_by, "__module__", ""), getattr(opened_by, "__qualname__", "")
    if module == "__main__":
        # Under ``python -m`` the module has another name, by which it can be imported again.
        spec = getattr(sys.modules[module], "__spec__", None)
        module = "" if spec is None else spec.name
    return None if not (module and name) or module.startswith(_LIBRARY) else f"{module}:{name}"


class Source:
    """Rows in splits; subclasses define where they come from.

    Attributes:
        name: The source's name in ``SOURCES``, or any for a source of your own.
        arguments: The arguments with which its function, or its class, opens it again. Those whose
            names end in ``_file`` or ``_dir`` are paths of raw data.
        opened_by: ``module:name`` of what opens it again; None for this library's own sources.
        split_to_size: Number of rows by split.
        keys_to_handlers: Feature name -> handler that fits the rows.
        keys_to_descriptions: Feature name -> what it is, for people.
    """

    name: str
    arguments: dict[str, Any]
    opened_by: str | None = None
    split_to_size: dict[str, int]
    keys_to_handlers: dict[str, FeatureHandler]
    keys_to_descriptions: dict[str, str]

    def rows_gen(self, split: str) -> Sequence[dict[str, Any]]:
        """Return the rows of a split in canonical order, as a sequence that can be sliced."""
        raise NotImplementedError

    def digest(self) -> str:
        """Digest the raw data as 64 hexadecimal digits."""
        raise NotImplementedError

    def remarks(self) -> list[str]:
        """Return sentences for people about what was taken, left out or converted; may be empty."""
        return []

    def describe(self) -> dict[str, Any]:
        """Return what the manifest records about the source."""
        found = {"name": self.name, "arguments": self.arguments, "digest": self.digest()}
        code = self.opened_by or code_of(type(self))
        return {**found, "code": code} if code else found


class ArraySource(Source):
    """Images and labels that are held in memory.

    Args:
        name: Name of the source.
        arguments: The arguments with which ``make_source`` opens it again.
        arrays: Split -> (images [n, height, width] or [n, height, width, channels], labels [n]).
        classes: Number of classes.
        image_description: What an image shows.
        value_range: (low, high), the values of the images that become -1 and 1; None takes them
            from their dtype and values.

    Raises:
        DataError: Images and labels differ in number, or an array does not hold images.
    """

    def __init__(
        self,
        name: str,
        arguments: Mapping[str, Any],
        arrays: Mapping[str, tuple[Array, Array]],
        classes: int,
        image_description: str,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        self.name = name
        self.arguments = dict(arguments)
        self._arrays: dict[str, tuple[Array, Array]] = {}
        for split, (images, labels) in arrays.items():
            if len(images) != len(labels):
                raise DataError(
                    f"The split {split!r} of {name} has {len(images)} images and {len(labels)} "
                    "labels, expected one label per image."
                )
            if images.ndim not in (3, 4) or len(images) == 0:
                raise DataError(
                    f"The split {split!r} of {name} has images of shape {images.shape}, expected "
                    "(count, height, width) or (count, height, width, channels)."
                )
            self._arrays[split] = (images[..., None] if images.ndim == 3 else images, labels)
        first = next(iter(self._arrays.values()))[0]
        self.split_to_size = {split: len(images) for split, (images, _) in self._arrays.items()}
        self.keys_to_handlers = {
            "image": ImageHandler(first.shape[1:], str(first.dtype), value_range=value_range),
            "label": LabelHandler(classes),
        }
        self.keys_to_descriptions = {
            "image": image_description,
            "label": f"Class, 0 to {classes - 1}",
        }

    def rows_gen(self, split: str) -> ArrayRows:
        """Return images with their labels."""
        images, labels = self._arrays[split]
        return ArrayRows({"image": images, "label": labels})

    def digest(self) -> str:
        """Digest all arrays of all splits: names, types, shapes and bytes."""
        from reproducible_ml.utils.digests import array_digest

        digest = hashlib.sha256()
        for split, arrays in self._arrays.items():
            for array in arrays:
                digest.update(f"{split} {array_digest(array)}\n".encode())
        return digest.hexdigest()
