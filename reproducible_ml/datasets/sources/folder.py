"""A source that reads a folder of images with one sub-folder per class."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from reproducible_ml.datasets.sources.base import Source, recorded_path
from reproducible_ml.handlers import ImageHandler, LabelHandler
from reproducible_ml.utils.errors import DataError

_SUFFIXES = (".png", ".jpg", ".jpeg", ".npy")
# About one row in 12 goes to eval and one to test, chosen by the digest of the file's path.
_PARTS = 12


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

    Args:
        image_dir: The folder.
        image_shape: (height, width, channels) that every image is resized to.

    Raises:
        DataError: There is no such folder, a class has no images, or links form a loop.
    """

    name = "folder"

    def __init__(self, image_dir: str | Path, image_shape: Sequence[int] = (64, 64, 3)) -> None:
        root = Path(image_dir)
        self.arguments = {"image_dir": recorded_path(root), "image_shape": list(image_shape)}
        self._root = root
        self.class_names, self._paths = _find_images(root)
        self._splits: dict[str, list[tuple[str, int]]] = {"train": [], "eval": [], "test": []}
        for path, label in self._paths:
            self._splits[_split_of(path)].append((path, label))
        self._splits = {split: rows for split, rows in self._splits.items() if rows}
        self.split_to_size = {split: len(rows) for split, rows in self._splits.items()}
        self.keys_to_handlers = {
            "image": ImageHandler(image_shape),
            "label": LabelHandler(len(self.class_names)),
        }
        self.keys_to_descriptions = {
            "image": f"Image of {root.name}",
            "label": "Class: " + ", ".join(f"{i} {n}" for i, n in enumerate(self.class_names)),
        }

    def rows_gen(self, split: str) -> FolderRows:
        """Return paths with labels; the handler loads the images."""
        return FolderRows(self._root, self._splits[split])

    def digest(self) -> str:
        """Digest every file's path and content."""
        digest = hashlib.sha256()
        for path, _ in self._paths:
            try:
                content = hashlib.sha256((self._root / path).read_bytes()).hexdigest()
            except OSError as error:
                raise DataError(f"{self._root / path} can't be read: {error.strerror}.") from error
            digest.update(f"{path} {content}\n".encode())
        return digest.hexdigest()


def folder(
    image_dir: str | None = None, image_shape: Sequence[int] = (64, 64, 3), **unused: Any
) -> FolderSource:
    """Open a folder of images; see ``FolderSource``."""
    if not image_dir:
        raise DataError("source=folder needs a folder: image_dir=path/to/images.")
    return FolderSource(image_dir, image_shape)


def _find_images(root: Path) -> tuple[list[str], list[tuple[str, int]]]:
    if not root.is_dir():
        raise DataError(f"There is no folder {root}.")
    entries = _entries(root)
    for entry in entries:
        _check_link(entry)
    names = sorted(entry.name for entry in entries if entry.is_dir())
    if not names:
        raise DataError(f"{root} has no sub-folders, expected one per class, with its images.")
    rows = []
    for label, name in enumerate(names):
        found = sorted(_walk(root / name, {os.path.realpath(root)}))
        if not found:
            raise DataError(
                f"{root / name} holds no images ({', '.join(_SUFFIXES)}); add some, or remove the "
                "folder."
            )
        rows += [(path.relative_to(root).as_posix(), label) for path in found]
    return names, rows


def _walk(folder: Path, above: set[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above:
        raise DataError(f"{folder} is a link to a folder above it: the images would never end.")
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _walk(entry, above | {real})
        elif entry.suffix.lower() in _SUFFIXES and not entry.name.startswith("."):
            if not entry.is_file():
                raise DataError(
                    f"{entry} is named like an image but is not a file (a pipe, or a broken "
                    "link?); remove it."
                )
            yield entry
        else:
            _check_link(entry)


def _check_link(entry: Path) -> None:
    """Refuse a broken link; it may be a class whose disk is not mounted."""
    # Editors put such links, with hidden names, beside the files that they have open.
    if not entry.name.startswith(".") and entry.is_symlink() and not entry.exists():
        raise DataError(
            f"{entry} is a broken link to {os.readlink(entry)!r}; remove it, or restore what it "
            "points to."
        )


def _entries(folder: Path) -> list[Path]:
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} can't be read: {error.strerror}.") from error
    for entry in entries:
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            raise DataError(f"{str(entry)!r} has a name that is not UTF-8; rename it.") from None
    return entries


def _split_of(path: str) -> str:
    part = int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "little") % _PARTS
    return {0: "eval", 1: "test"}.get(part, "train")
