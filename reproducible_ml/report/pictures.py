"""Pictures of a run as data URIs, grouped by name and ordered by step."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reproducible_ml.utils.text import size

if TYPE_CHECKING:
    from reproducible_ml.tracking.runs import Run

MOST_PICTURES = 60
LARGEST_BYTES = 4_000_000
_STEP_AT_END = re.compile(r"^(?P<series>.*?)[-_.]?(?P<step>\d+)$")
_FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        name: Name of the artifact.
        step: Step at the end of the name; None if there is none.
        uri: Content.
        width: Width in pixels.
        height: Height in pixels.
    """

    name: str
    step: int | None
    uri: str
    width: int
    height: int


@dataclass
class Series:
    """Pictures of one kind.

    Attributes:
        name: Common beginning of the pictures' names.
        pictures: Pictures in the order of their steps.
        notes: Sentences on what is not shown, and why.
    """

    name: str
    pictures: list[Picture] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def picture_series(run: Run) -> list[Series]:
    """Read at most ``MOST_PICTURES`` evenly spread pictures of a run."""
    names: dict[str, list[tuple[int | None, str]]] = {}
    for one in run.artifacts.infos.values():
        if one.content_type.startswith("image/"):
            stem = one.name.rpartition(".")[0]
            found = _STEP_AT_END.match(stem)
            series = found["series"] if found else stem
            step = int(found["step"]) if found else None
            names.setdefault(series, []).append((step, one.name))
    most = max(1, MOST_PICTURES // max(1, len(names)))
    return [
        _read(run, name, sorted(members, key=lambda one: (one[0] is not None, one[0] or 0)), most)
        for name, members in sorted(names.items())
    ]


def _read(run: Run, name: str, members: Sequence[tuple[int | None, str]], most: int) -> Series:
    series = Series(name or "pictures")
    chosen = spread(len(members), most)
    if len(chosen) < len(members):
        series.notes.append(f"{len(chosen)} of {len(members)} pictures are shown, evenly spread.")
    for index in chosen:
        step, artifact = members[index]
        bytes_ = run.artifacts.infos[artifact].bytes
        if bytes_ > LARGEST_BYTES:
            series.notes.append(
                f"{artifact} is left out: {size(bytes_)}, more than {size(LARGEST_BYTES)}."
            )
            continue
        picture = _picture(artifact, step, run.artifacts[artifact])
        if picture is None:
            series.notes.append(f"{artifact} is left out: it cannot be read as a picture.")
        else:
            series.pictures.append(picture)
    return series


def spread(count: int, most: int) -> list[int]:
    """Choose evenly spread indices, including the first and last; if only one, the last."""
    if count <= most:
        return list(range(count))
    if most == 1:
        return [count - 1]
    return [index * (count - 1) // (most - 1) for index in range(most)]


def _picture(name: str, step: int | None, content: bytes) -> Picture | None:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            kind, (width, height) = _FORMATS[str(image.format)], image.size
            image.verify()
    except Exception:  # Pillow's decoders raise any kind of error on broken files
        return None
    encoded = base64.b64encode(content).decode("ascii")
    return Picture(name, step, f"data:{kind};base64,{encoded}", width, height)
