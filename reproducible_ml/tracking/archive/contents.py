"""What belongs to a run: gathered in a folder, from which the archive is written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from reproducible_ml.datasets.serialize import MANIFEST_FILE, read_manifest
from reproducible_ml.tracking.archive.bill_of_materials import bill_of
from reproducible_ml.tracking.archive.crate import (
    BILL,
    LICENCE,
    REQUIREMENTS,
    crate_of,
    iso_time,
)
from reproducible_ml.tracking.archive.croissant import croissant_of
from reproducible_ml.tracking.archive.sealed_zip import write_archive
from reproducible_ml.tracking.recording import path_digest
from reproducible_ml.tracking.reproduce import NotComparable, Recorded, make_wheels
from reproducible_ml.tracking.runs import Run, RunId, copy_run, load_run, open_store
from reproducible_ml.utils.errors import ConfigError
from reproducible_ml.utils.files import write_json
from reproducible_ml.utils.text import SHORT_DIGEST

RUNS, DATA, WHEELS = "runs", "data", "wheels"
# What lay in the run's working directory lies here under the same relative path.
HERE = f"{DATA}/here"
CRATE_FILE = "ro-crate-metadata.json"


@dataclass(frozen=True)
class Packed:
    """A written archive.

    Attributes:
        path: The archive.
        runs: Ids of the runs in it: the packed one, and those that it builds on.
        data: Key of each input -> its place in the archive; empty without ``data``.
        files: Number of files.
        size: Bytes of the archive.
        without: Earlier runs that are not recorded here, by name of their stage.
    """

    path: Path
    runs: tuple[RunId, ...]
    data: dict[str, str]
    files: int
    size: int
    without: tuple[str, ...]


def pack_run(
    run_id: RunId,
    folder: Path,
    output: Path,
    data: bool = False,
    wheels: bool = False,
    echo: Callable[[str], None] = lambda line: None,
) -> Packed:
    """Write a completed run, and the runs that it builds on, into one file.

    Args:
        run_id: The run.
        folder: Its folder of runs.
        output: The file to write; an existing one is refused.
        data: Whether to pack the files and data sets that the run read, too.
        wheels: Whether to pack a wheel of every package that the record names, too.
        echo: Called with each line of progress.

    Returns:
        What was written.

    Raises:
        ConfigError: The file exists.
        NotComparable: The record is incomplete or altered, an input is gone or another one, or a
            wheel can't be made.
    """
    if output.exists():
        raise ConfigError(f"{output} exists; remove it, or name another file: -o FILE.")
    # Beside the output, which has room for it or not.
    with (
        open_store(folder=folder) as store,
        tempfile.TemporaryDirectory(prefix=".packing-", dir=output.parent or ".") as name,
    ):
        work = Path(name)
        recorded = Recorded(load_run(run_id, store))
        recorded.check(False, echo)
        without: list[str] = []
        runs = [recorded.run, *_earlier(recorded, without)]
        for run in runs:
            copy_run(folder / str(run.id), work / RUNS)
        packages = recorded.run.environment.get("packages") or {}
        requirements = work / REQUIREMENTS
        requirements.parent.mkdir()
        requirements.write_text(
            "".join(f"{package}=={version}\n" for package, version in packages.items()),
            encoding="utf-8",
        )
        places = dict(_data(recorded, work, echo)) if data else {}
        if wheels:
            make_wheels(recorded.run, work / WHEELS, echo)
        inputs = {key: place for key, place in places.items() if not place.startswith(f"{HERE}/")}
        write_json(work / BILL, bill_of(recorded.run), sort_keys=False)
        described = _describe_data(recorded.run, work, places)
        crate = crate_of(recorded.run, work, places, described)
        write_json(work / CRATE_FILE, crate, sort_keys=False)
        facts = {"run": str(run_id), "inputs": inputs}
        count = write_archive(output, work, facts)
    return Packed(
        output, tuple(run.id for run in runs), places, count, output.stat().st_size, tuple(without)
    )


def _earlier(recorded: Recorded, without: list[str]) -> Iterator[Run]:
    """Yield the runs that a run builds on, each once."""
    seen = {recorded.run.id}
    waiting = [recorded.run]
    while waiting:
        run = waiting.pop()
        for one in run.facts.get("upstream") or ():
            earlier = one.get("run_id")
            if earlier is None:
                without.append(str(one.get("stage")))
            elif earlier not in seen:
                seen.add(earlier)
                waiting.append(load_run(earlier, run.store))
                yield waiting[-1]


def _data(recorded: Recorded, work: Path, echo: Callable[[str], None]) -> Iterator[tuple[str, str]]:
    """Put what the run read beside its record; yield key and place of each."""
    stage = recorded.stage
    digests = dict(recorded.run.facts.get("inputs") or ())
    recorded.check_unnamed_data_sets(echo)
    for number, (key, (path, inside)) in enumerate(stage.read_paths().items(), start=1):
        recorded.check_input(key, path, echo)
        found = path_digest(path) if key in digests else ""
        if found != digests.get(key, ""):
            raise NotComparable(
                f"{path} is not what run {recorded.run.id} read as {key}: its SHA-256 is "
                f"{found[:SHORT_DIGEST]}, the recorded one is "
                f"{digests[key][:SHORT_DIGEST]}. Restore it, or leave out --data."
            )
        if Path(path).resolve() in work.resolve().parents:
            raise NotComparable(
                f"{path}, which run {recorded.run.id} read as {key}, is the folder that the file "
                "would be written to. Name a file elsewhere (-o FILE), or leave out --data."
            )
        # The number, since two keys may give the same name.
        outside = f"{DATA}/{number}-{_file_name(key)}/{os.path.basename(path)}"
        place = outside if inside is None else f"{HERE}/{inside}"
        target = work / place
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(Path(path), target)
        yield key, place


def _describe_data(run: Run, work: Path, places: dict[str, str]) -> dict[str, str]:
    """Write a Croissant description of each packed data set; return its name by place."""
    found = {}
    for number, (key, place) in enumerate(places.items(), start=1):
        if (work / place / MANIFEST_FILE).is_file() and place not in found:
            name = f"croissant-{number}-{_file_name(key)}.json"
            manifest = read_manifest(work / place)
            description = croissant_of(
                manifest, place, iso_time(run.entry.get("stop_time")), LICENCE
            )
            write_json(work / name, description, sort_keys=False)
            found[place] = name
    return found


def _file_name(key: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "._-" else "_" for sign in key)


def _copy(source: Path, target: Path) -> None:
    # A link to a file of the same disk costs nothing; it is only read.
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link_or_copy)
    else:
        _link_or_copy(str(source), str(target))


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)
