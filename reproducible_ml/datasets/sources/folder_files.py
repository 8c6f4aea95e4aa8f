"""The search of a folder for classes and images: what is taken, what is left out, and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.text import counted, shown

# A fixed list, so that the same folder is the same data set with any version of Pillow and its
# plugins. Formats that need another program (EPS), hold no pixels (PDF), or whose values Pillow
# does not scale as the file says (FITS) are not in it.
SUFFIXES = (
    ".apng", ".avif", ".bmp", ".bw", ".cur", ".dds", ".dib", ".gif", ".icns", ".ico", ".j2c",
    ".j2k", ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".npy",
    ".pbm", ".pcx", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".psd", ".qoi", ".ras", ".rgb", ".rgba",
    ".sgi", ".tga", ".tif", ".tiff", ".webp", ".xbm",
)  # fmt: skip
_HIDDEN = "hidden or of the system"
_OTHER = "not named like an image"
_BESIDE = "beside the classes"
# What file managers, network storage and archives put beside one's own files, in lower case.
_OF_THE_SYSTEM = (
    "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "@recycle", "@tmp", "#recycle",
    "#snapshot", "__macosx", "__pycache__", "$recycle.bin", "system volume information",
    "lost+found",
)  # fmt: skip
_SPLITS = ("train", "training", "eval", "val", "valid", "validation", "dev", "test", "testing")
_MOST_NAMED = 5


@dataclass
class FoundFiles:
    """The images of a folder.

    Attributes:
        classes: Names of the classes, in the order of their numbers.
        paths: Path relative to the folder, and class number, of each image.
        left: Reason -> relative paths of what was left out; a folder counts as one.
    """

    classes: list[str] = field(default_factory=list)
    paths: list[tuple[str, int]] = field(default_factory=list)
    left: dict[str, list[str]] = field(default_factory=dict)

    def taken(self) -> dict[str, int]:
        """Return the number of images by class."""
        counts = Counter(label for _, label in self.paths)
        return {name: counts[label] for label, name in enumerate(self.classes)}

    def left_out(self) -> dict[str, Any]:
        """Return what was left out by reason, as JSON types: how many, and the first of them."""
        return {
            reason: {"files": len(paths), "first": sorted(paths)[:_MOST_NAMED]}
            for reason, paths in self.left.items()
        }

    def remarks(self, root: Path) -> list[str]:
        """Say in sentences what was taken and left out."""
        taken = [f"{name} {count:,}" for name, count in self.taken().items()]
        images = counted(len(self.paths), "image")
        classes = counted(len(taken), "class", "classes")
        found = [f"{root}: {images} in {classes}: {_first(taken)}"]
        if self.left:
            reasons = [
                f"{len(paths):,} {reason} ({_first(_kinds(reason, paths))})"
                for reason, paths in self.left.items()
            ]
            found.append(f"{root}: left out: {'; '.join(reasons)}")
        return [shown(one) for one in found]


def find_images(root: Path) -> FoundFiles:
    """Find the classes of a folder and their images.

    Raises:
        DataError: There is no such folder, it has no classes, a class has no images, the classes
            are named like splits, or links form a loop or lead nowhere.
    """
    if not root.is_dir():
        raise DataError(f"There is no folder {root}.")
    found = FoundFiles()
    folders = []
    for entry in _entries(root):
        _check_link(entry)
        if _is_hidden(entry):
            _leave(found, root, entry, _HIDDEN)
        elif entry.is_dir():
            folders.append(entry.name)
        else:
            _leave(found, root, entry, _BESIDE)
    found.classes = sorted(folders)
    if not found.classes:
        raise DataError(f"{root} has no sub-folders, expected one per class, with its images.")
    _refuse_splits(root, found.classes)
    for label, name in enumerate(found.classes):
        images = sorted(_walk(root, root / name, {os.path.realpath(root)}, found))
        if not images:
            raise DataError(
                f"{root / name} holds no images{_instead(found, name)}, expected files such as "
                ".png, .jpg, .tif, .gif, .webp, .bmp or .npy; add some, or remove the folder."
            )
        found.paths += [(path.relative_to(root).as_posix(), label) for path in images]
    return found


def _walk(root: Path, folder: Path, above: set[str], found: FoundFiles) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above:
        raise DataError(f"{folder} is a link to a folder above it: the images would never end.")
    for entry in _entries(folder):
        if _is_hidden(entry):
            _leave(found, root, entry, _HIDDEN)
        elif entry.is_dir():
            yield from _walk(root, entry, above | {real}, found)
        elif entry.suffix.lower() in SUFFIXES:
            if not entry.is_file():
                raise DataError(
                    f"{entry} is named like an image but is not a file (a pipe, or a broken "
                    "link?); remove it."
                )
            yield entry
        else:
            _check_link(entry)
            _leave(found, root, entry, _OTHER)


def _is_hidden(entry: Path) -> bool:
    return entry.name.startswith(".") or entry.name.lower() in _OF_THE_SYSTEM


def _leave(found: FoundFiles, root: Path, entry: Path, reason: str) -> None:
    found.left.setdefault(reason, []).append(entry.relative_to(root).as_posix())


def _refuse_splits(root: Path, names: Sequence[str]) -> None:
    """Refuse folders of splits, whose classes are one level below."""
    lower = [name.lower() for name in names]
    if len(lower) > 1 and all(name in _SPLITS for name in lower):
        raise DataError(
            f"{root} has the sub-folders {', '.join(names)}, which are splits and not classes; "
            f"name one of them, such as image_dir={root / names[0]}, whose rows are split again."
        )


def _instead(found: FoundFiles, name: str) -> str:
    """Name what a class holds instead of images."""
    inside = [
        path for paths in found.left.values() for path in paths if path.startswith(f"{name}/")
    ]
    return f" but {_first(_kinds(_OTHER, inside))}" if inside else ""


def _kinds(reason: str, paths: Sequence[str]) -> list[str]:
    """Return what tells paths apart: suffixes with their number, or the paths themselves."""
    if reason == _HIDDEN:
        return sorted(paths)
    counts = Counter(os.path.splitext(path)[1].lower() or "no suffix" for path in paths)
    return [f"{suffix} {count:,}" for suffix, count in sorted(counts.items())]


def _first(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")


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
