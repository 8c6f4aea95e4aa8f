"""A run packed into one file, executed elsewhere, and refused when a byte of it has changed."""

import hashlib
import json
import random
import shutil
import stat
import struct
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.tracking.archive import check_archive, pack_run
from reproducible_ml.tracking.archive.croissant import croissant_of
from reproducible_ml.tracking.archive.sealed_zip import ArchiveDamaged, extract_archive
from reproducible_ml.tracking.reproduce import NotComparable
from reproducible_ml.utils.errors import ConfigError, DataError
from tests.models.labelled import write_labelled_records
from tests.tracking.toy_project import Project, command, run

FLIPS = 150


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The archive of a run whose project is gone, and what packing it printed."""
    folder = tmp_path_factory.mktemp("packed")
    project = Project(folder / "project")
    run_id = project.record("rate=0.25")
    code, printed = command(
        ["pack", str(run_id), "--data", "-o", str(folder / "a.zip")], project.root
    )
    assert code == 0, printed
    shutil.rmtree(project.root)
    return folder / "a.zip", printed


def test_a_packed_run_is_executed_without_its_project(packed, tmp_path):
    archive, printed = packed
    assert "start_file: data/here/start.txt" in printed
    assert "Execute it elsewhere: reproducible-ml reproduce a.zip" in printed
    code, output = command(["verify", str(archive)], tmp_path)
    assert code == 0, output
    assert "are as they were packed" in output
    # Of a folder that is not there any more: somebody else's, for all that is known.
    code, output = command(["reproduce", str(archive)], tmp_path)
    assert code == 2
    assert "repeat with --yes" in output
    code, output = command(["reproduce", str(archive), "--yes"], tmp_path)
    assert code == 0, output
    assert "Run 1 executes run 1 of a.zip again: identical." in output
    assert "weight" in output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]
    # What the new run has read stays for a rerun of it.
    kept = ["--yes", "--keep", "kept", "-F", "other"]
    code, output = command(["reproduce", str(archive), *kept], tmp_path)
    assert code == 0, output
    code, output = command(["reproduce", "1", "-F", "other", "--yes"], tmp_path)
    assert code == 0, output
    code, output = command(["reproduce", str(archive), *kept], tmp_path)
    assert code == 2
    assert "is left from an earlier packed run" in output


def test_equal_runs_give_equal_bytes_and_nothing_is_overwritten(packed, tmp_path):
    project = Project(tmp_path / "project")
    run_id = project.record()
    for name in ("one.zip", "two.zip"):
        done = pack_run(run_id, project.runs, tmp_path / name, data=True)
    assert done.data == {"start_file": "data/here/start.txt"}
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert (tmp_path / "one.zip").stat().st_size == done.size
    with pytest.raises(ConfigError, match=r"one\.zip exists; remove it"):
        pack_run(run_id, project.runs, tmp_path / "one.zip")
    (project.root / "start.txt").unlink()
    with pytest.raises(NotComparable, match="which run 1 read as start_file"):
        pack_run(run_id, project.runs, tmp_path / "three.zip", data=True)
    assert not list(tmp_path.glob("*three*"))
    assert not list(tmp_path.glob(".packing*"))


READER = """
from pathlib import Path
from reproducible_ml.tracking import experiment

ex = experiment("reader")

@ex.config
def config():
    number_file = "number.txt"

@ex.automain
def main(number_file):
    return float(Path(number_file).read_text())
"""


def test_a_file_that_has_changed_is_not_packed_as_what_was_read(tmp_path):
    (tmp_path / "reader.py").write_text(READER)
    for name in ("number.txt", "other/number.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("0.5")
    done = run([sys.executable, "-m", "reader"], tmp_path)
    assert done.returncode == 0, done.stderr
    outside = f"number_file={tmp_path / 'other' / 'number.txt'}"
    done = run([sys.executable, "-m", "reader", "with", outside], tmp_path)
    assert done.returncode == 0, done.stderr
    code, printed = command(["pack", "2", "--data"], tmp_path)
    assert code == 0, printed
    (tmp_path / "other" / "number.txt").unlink()
    code, output = command(["reproduce", "run-2.zip"], tmp_path)
    assert code == 0, output
    assert "executes run 2 of run-2.zip again: identical." in output

    (tmp_path / "number.txt").write_text("0.75")
    code, printed = command(["pack", "1", "--data"], tmp_path)
    assert code == 1
    assert "number.txt is not what run 1 read as number_file: its SHA-256 is " in printed
    assert not (tmp_path / "run-1.zip").exists()


def span_of(entry, whole):
    """Return start and length of an entry's bytes, after its header of varying length."""
    lengths = struct.unpack_from("<HH", whole, entry.header_offset + 26)
    return entry.header_offset + 30 + sum(lengths), entry.compress_size


def test_each_flipped_byte_is_found_and_named(packed, tmp_path):
    whole = packed[0].read_bytes()
    draws = random.Random(1)
    # The directory's end and the digest, and any byte before.
    places = [*range(len(whole) - 100, len(whole)), *draws.sample(range(len(whole)), FLIPS)]
    with zipfile.ZipFile(packed[0]) as archive:
        spans = {entry.filename: span_of(entry, whole) for entry in archive.infolist()}
    changed = tmp_path / "changed.zip"
    named = 0
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << draws.randrange(8)
        changed.write_bytes(damaged)
        with pytest.raises(DataError) as refused:
            check_archive(changed)
        inside = [name for name, (at, size) in spans.items() if at <= place < at + size]
        # The last bits of a compressed file may mean nothing.
        if inside and "though not in the contents" not in str(refused.value):
            assert inside[0] in str(refused.value)
            named += 1
    assert named > FLIPS / 2
    changed.write_bytes(whole[:-1])
    with pytest.raises(DataError):
        check_archive(changed)
    code, output = command(["reproduce", str(changed)], tmp_path)
    assert code == 2
    assert len(output.splitlines()) == 2, output


def test_a_file_that_is_no_packed_run_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(ArchiveDamaged, match=r"is not a packed run: it has no pack\.json"):
        check_archive(tmp_path / "other.zip")
    (tmp_path / "text.zip").write_text("nothing")
    with pytest.raises(ArchiveDamaged, match="can't be read as a packed run"):
        check_archive(tmp_path / "text.zip")
    with pytest.raises(DataError, match="No such file"):
        check_archive(tmp_path / "none.zip")


def forged(path, entries, listed=None):
    """Write an archive as an attacker would, digests and all."""
    listed = dict(entries) if listed is None else listed
    files = {
        name: [len(content), hashlib.sha256(content).hexdigest()]
        for name, content in listed.items()
    }
    listing = {"form": 1, "run": "1", "inputs": {}, "files": files}
    with zipfile.ZipFile(path, "w") as archive:
        with warnings.catch_warnings():
            # Of a name that comes twice.
            warnings.simplefilter("ignore")
            for name, content in entries:
                archive.writestr(name, content)
        archive.writestr("pack.json", json.dumps(listing))
        archive.comment = b"sha256:" + b"0" * 64
    content = path.read_bytes()[:-71]
    path.write_bytes(content + b"sha256:" + hashlib.sha256(content).hexdigest().encode())


@pytest.mark.parametrize(
    ("entries", "listed", "reason"),
    [
        ([("../out", b"x")], None, "leads out of its folder"),
        ([("/out", b"x")], None, "leads out of its folder"),
        ([("a/../../out", b"x")], None, "leads out of its folder"),
        ([("a", b"x"), ("b", b"y")], {"a": b"x"}, "has an unlisted 'b'"),
        ([("a", b"x")], {"a": b"x", "b": b"y"}, "lacks 'b'"),
        ([("a", b"x"), ("a", b"y")], {"a": b"x"}, "has twice 'a'"),
        ([("a", bytes(10_000_000))], {"a": bytes(10)}, "a in .* is damaged"),
        ([("a", b"x")], {"a": b"y"}, "its SHA-256 is not the listed one"),
    ],
)
def test_a_forged_archive_leads_nowhere(tmp_path, entries, listed, reason):
    forged(tmp_path / "a.zip", entries, listed)
    (tmp_path / "into").mkdir()
    with pytest.raises(ArchiveDamaged, match=reason):
        extract_archive(tmp_path / "a.zip", tmp_path / "into")
    assert not (tmp_path / "out").exists()


def test_a_link_in_an_archive_becomes_a_file(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    forged(tmp_path / "a.zip", [(link, b"/etc/passwd")], {"link": b"/etc/passwd"})
    (tmp_path / "into").mkdir()
    extract_archive(tmp_path / "a.zip", tmp_path / "into")
    assert not (tmp_path / "into" / "link").is_symlink()
    assert (tmp_path / "into" / "link").read_bytes() == b"/etc/passwd"


def test_the_archive_is_described_as_a_run_with_what_it_read_and_used(packed):
    with zipfile.ZipFile(packed[0]) as archive:
        crate = json.loads(archive.read("ro-crate-metadata.json"))
        names = set(archive.namelist())
    entities = {one["@id"]: one for one in crate["@graph"]}
    assert entities["ro-crate-metadata.json"]["about"] == {"@id": "./"}
    root, action = entities["./"], entities["#run"]
    assert root["conformsTo"] == {"@id": "https://w3id.org/ro/wfrun/process/0.5"}
    assert action["@type"] == "CreateAction"
    assert action["object"] == {"@id": "data/here/start.txt"}
    assert action["startTime"] <= action["endTime"]
    assert entities[action["instrument"]["@id"]]["name"] == "walk"
    # Whatever is referred to is described, and what is described is there.
    for one in [*root["hasPart"], action["object"], action["result"]]:
        assert one["@id"] in entities
        assert any(name.startswith(one["@id"]) for name in names)


def test_the_packages_are_listed_for_pip_and_as_a_bill_of_materials(packed):
    with zipfile.ZipFile(packed[0]) as archive:
        info = json.loads(archive.read("runs/1/info.json"))
        lines = archive.read("environment/requirements.txt").decode().splitlines()
        bill = json.loads(archive.read("environment/bom.cdx.json"))
    packages = info["environment"]["packages"]
    assert lines == [f"{name}=={version}" for name, version in packages.items()]
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    found = {one["name"]: one["version"] for one in bill["components"] if one["type"] == "library"}
    assert found == packages
    numpy = next(one for one in bill["components"] if one["name"] == "numpy")
    assert numpy["purl"] == f"pkg:pypi/numpy@{np.__version__}"
    assert bill["dependencies"][0]["dependsOn"] == [
        one["bom-ref"] for one in bill["components"] if one["type"] == "library"
    ]


def test_a_data_set_is_described_with_the_digest_of_each_file(tmp_path):
    data = Path(write_labelled_records(tmp_path / "data" / "letters"))
    place = "data/letters"
    found = croissant_of(read_manifest(data), place, "2026-11-28T20:00:00+00:00", "none")
    files = {one["contentUrl"]: one["sha256"] for one in found["distribution"] if "sha256" in one}
    shards = [path for path in sorted(data.iterdir()) if path.suffix in (".json", ".tfrecord")]
    assert files == {
        f"{place}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in shards
    }
    assert found["conformsTo"][0] == "http://mlcommons.org/croissant/1.0"
    sets = {one["@id"] for one in found["distribution"] if one["@type"] == "cr:FileSet"}
    fields = {one["name"]: one for one in found["recordSet"][0]["field"]}
    assert {one["source"]["fileSet"]["@id"] for one in fields.values()} == sets
    assert fields["label"]["dataType"] == "sc:Integer"
    assert fields["image"]["dataType"] == "sc:ImageObject"
