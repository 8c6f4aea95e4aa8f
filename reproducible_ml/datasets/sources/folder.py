"""A source that reads a folder of images with one sub-folder per class."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reproducible_ml.datasets.sources.base import Source, recorded_path
from reproducible_ml.datasets.sources.folder_files import find_images
from reproducible_ml.handlers import ImageHandler, LabelHandler, checked_shape, conversions
from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.text import shown

# About one row in 12 goes to eval and one to test, chosen by the digest of the file's path.
_PARTS = 12
_MOST_NAMED = 5


class FolderRows(Sequence[dict[str, Any]]):
    """Paths of images with their labels; each row is made when it is accessed.

    A worker that writes one shard of a million images therefore makes only its own rows.

    Args:
        root: Folder of the images.
        found: Path relative to it, and label, of each row.
    """

    def __init__(self, root: Path, found: list[tuple[str, int]]) -> None:
        self._root = root
        self._found = found

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return FolderRows(self._root, self._found[index])
        path, label = self._found[index]
        return {"image": str(self._root / path), "label": label}


class FolderSource(Source):
    """Images in ``image_dir/<class>/``, loaded only when they are written.

    Classes are numbered in the order of their names, and rows are sorted by path. The split of a
    row (train, eval or test) depends on its path alone, so adding an image moves no other one.

    Hidden files and folders, and those of the system such as ``Thumbs.db`` or ``@eaDir``, are left
    out, as is what is not named like an image. The manifest records how many images each class has,
    what was left out and why, and which files are converted (docs/image-files.md).

    Args:
        image_dir: The folder.
        image_shape: (height, width, channels) that every image is resized to.
        image_dtype: NumPy dtype to store; None is uint8. With uint16, images of 16 bits keep them.
        value_range: (low, high) that become -1 and 1; None is the full scale of uint8, else it
            follows from the values.

    Raises:
        DataError: There is no such folder, a class has no images, or links form a loop.
    """

    name = "folder"

    def __init__(
        self,
        image_dir: str | Path,
        image_shape: Sequence[int] = (64, 64, 3),
        image_dtype: str | None = None,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        root = Path(image_dir)
        shape = checked_shape(image_shape, 1)
        self.arguments = {"image_dir": recorded_path(root), "image_shape": list(shape)}
        if image_dtype is not None:
            self.arguments["image_dtype"] = image_dtype
        if value_range is not None:
            self.arguments["value_range"] = list(value_range)
        self._root = root
        self._found = find_images(root)
        self.class_names, self._paths = self._found.classes, self._found.paths
        self._splits: dict[str, list[tuple[str, int]]] = {"train": [], "eval": [], "test": []}
        for path, label in self._paths:
            self._splits[_split_of(path)].append((path, label))
        self._splits = {split: rows for split, rows in self._splits.items() if rows}
        self.split_to_size = {split: len(rows) for split, rows in self._splits.items()}
        self.keys_to_handlers = {
            "image": ImageHandler(shape, image_dtype or "uint8", value_range=value_range),
            "label": LabelHandler(len(self.class_names)),
        }
        self.keys_to_descriptions = {
            "image": f"Image of {root.name}",
            "label": "Class: " + ", ".join(f"{i} {n}" for i, n in enumerate(self.class_names)),
        }
        self._surveyed: tuple[str, dict[str, list[str]]] | None = None

    def rows_gen(self, split: str) -> FolderRows:
        """Return paths with labels; the handler loads the images."""
        return FolderRows(self._root, self._splits[split])

    def digest(self) -> str:
        """Digest every file's path and content."""
        return self._survey(headers=False)[0]

    def describe(self) -> dict[str, Any]:
        """Return what the manifest records: also what was taken, left out and converted."""
        self._surveyed = self._surveyed or self._survey()
        digest, converted = self._surveyed
        return {
            "name": self.name,
            "arguments": self.arguments,
            "digest": digest,
            "files": {
                "taken": self._found.taken(),
                "left_out": self._found.left_out(),
                "converted": {
                    what: {"files": len(paths), "first": paths[:_MOST_NAMED]}
                    for what, paths in converted.items()
                },
            },
        }

    def remarks(self) -> list[str]:
        """Say which classes and how many images were found, left out and converted."""
        self._surveyed = self._surveyed or self._survey()
        return self._found.remarks(self._root) + [
            shown(f"{self._root}: {len(paths):,} {what} ({', '.join(paths[:1])})")
            for what, paths in self._surveyed[1].items()
        ]

    def _survey(self, headers: bool = True) -> tuple[str, dict[str, list[str]]]:
        """Read every file once; return the digest, and the files of each conversion.

        Args:
            headers: Look for conversions, which costs four times as much as the digest.
        """
        digest, converted = hashlib.sha256(), dict[str, list[str]]()
        dtype, channels = self.keys_to_handlers["image"].dtype, self.arguments["image_shape"][-1]
        for path, _ in self._paths:
            try:
                content = (self._root / path).read_bytes()
            except OSError as error:
                raise DataError(f"{self._root / path} can't be read: {error.strerror}.") from error
            digest.update(f"{path} {hashlib.sha256(content).hexdigest()}\n".encode())
            if headers:
                for what in conversions(io.BytesIO(content), path, channels, str(dtype)):
                    converted.setdefault(what, []).append(path)
        return digest.hexdigest(), converted


def folder(
    image_dir: str | None = None,
    image_shape: Sequence[int] = (64, 64, 3),
    image_dtype: str | None = None,
    value_range: tuple[float, float] | None = None,
    **unused: Any,
) -> FolderSource:
    """Open a folder of images; see ``FolderSource``."""
    if not image_dir:
        raise DataError("source=folder needs a folder: image_dir=path/to/images.")
    return FolderSource(image_dir, image_shape, image_dtype, value_range)


def _split_of(path: str) -> str:
    part = int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "little") % _PARTS
    return {0: "eval", 1: "test"}.get(part, "train")
