"""A Beam pipeline writes what the local writer writes, also when bundles are tried again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.datasets.serialize.verify import verify
from reproducible_ml.utils.errors import ConfigError, DataError
from tests.datasets.killing import SIZES, arrays, check_kills
from tests.datasets.writing import PATTERN, ROOT, handlers, rows_of, tree, write
from tests.require import skip_or_fail

# What Beam and its dependencies warn of is not this project's to mend.
pytestmark = pytest.mark.filterwarnings("default")
PROCESSES = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]


@pytest.fixture(scope="module", autouse=True)
def _beam():
    try:
        import apache_beam  # noqa: F401
    except ImportError:
        skip_or_fail("beam", "apache-beam is not installed")


def write_by_beam(record_dir, rows_gen=arrays, sizes=SIZES, keys_to_handlers=None, **options):
    from reproducible_ml.datasets.serialize import beam

    return beam.write_records(
        record_dir, PATTERN, keys_to_handlers or handlers(), 4, sizes, rows_gen, **options
    )


@pytest.mark.parametrize("compression", ["", "GZIP"])
@pytest.mark.parametrize("options", [[], PROCESSES], ids=["one process", "two processes"])
def test_a_pipeline_writes_the_bytes_of_the_local_writer(
    options, compression, tmp_path, monkeypatch
):
    # The workers must be able to import what the handlers and rows_gen are made of.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    local = write(tmp_path / "local", SIZES, rows_gen=arrays, compression=compression)
    found = write_by_beam(tmp_path / "beam", compression=compression, options=options)
    assert found.fingerprint == local.fingerprint
    assert tree(tmp_path / "beam") == tree(tmp_path / "local")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beam", "local"]


def test_a_bundle_that_is_tried_again_leaves_no_duplicate(tmp_path):
    """A worker ends after the shard was put in place, before or after its note was."""
    from reproducible_ml.datasets.serialize import beam

    seen = tmp_path / "seen"
    seen.mkdir()

    def rows_gen(split):
        return arrays(split)

    class Twice(beam._ShardWriting):
        def process(self, plan):
            list(super().process(plan))
            yield from super().process(plan)
            (seen / plan.file).touch()
            # What a worker leaves that is stopped within a shard.
            Path(self._folder, f"{beam._PART}stopped").mkdir(exist_ok=True)
            Path(self._folder, f"{plan.file}{beam._PART}stopped").write_text("half")

    original = beam._ShardWriting
    beam._ShardWriting = Twice
    try:
        write_by_beam(tmp_path / "beam", rows_gen)
    finally:
        beam._ShardWriting = original
    assert len(list(seen.iterdir())) == 13
    write(tmp_path / "local", SIZES, rows_gen=arrays)
    assert tree(tmp_path / "beam") == tree(tmp_path / "local")


def test_a_bad_row_is_named_with_its_shard_and_nothing_is_left(tmp_path):
    def broken(split):
        rows = list(rows_of(SIZES)(split))
        rows[30 % len(rows)]["label"] = 7 if split == "train" else 1
        return rows

    with pytest.raises(
        DataError, match=r"train-00007.tfrecord, record 2: field .label.: found label 7"
    ):
        write_by_beam(tmp_path / "data", broken)
    assert not list(tmp_path.iterdir())


def test_a_generator_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"rows_gen\('train'\) yields them one after the other"):
        write_by_beam(tmp_path / "data", rows_of(SIZES))
    assert not list(tmp_path.iterdir())


def test_another_number_of_rows_is_named(tmp_path):
    with pytest.raises(DataError, match=r"'train' should have 41 rows, .* yields 40"):
        write_by_beam(tmp_path / "data", sizes={"train": 41})


def test_rows_may_be_anything_with_a_length_and_slices(tmp_path):
    class Lazy:
        def __init__(self, rows):
            self.rows = rows

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, part):
            return self.rows[part]

    write_by_beam(tmp_path / "beam", lambda split: Lazy(list(rows_of(SIZES)(split))))
    write(tmp_path / "local", SIZES)
    assert tree(tmp_path / "beam") == tree(tmp_path / "local")


@pytest.fixture
def shared(tmp_path):
    """An address of Beam's file systems, here over a folder."""
    from apache_beam.io.localfilesystem import LocalFileSystem

    root = tmp_path / "bucket"
    root.mkdir()

    class Shared(LocalFileSystem):
        @classmethod
        def scheme(cls):
            return "shared"

        @staticmethod
        def local(path):
            return path.replace("shared:/", str(root))

        def join(self, basepath, *paths):
            return "/".join([basepath.rstrip("/"), *paths])

        def mkdirs(self, path):
            super().mkdirs(self.local(path))

        def create(self, path, *arguments, **options):
            return super().create(self.local(path), *arguments, **options)

        def open(self, path, *arguments, **options):
            return super().open(self.local(path), *arguments, **options)

        def exists(self, path):
            return super().exists(self.local(path))

        def match(self, patterns, limits=None):
            return super().match([self.local(pattern) for pattern in patterns], limits)

        def rename(self, sources, destinations):
            super().rename(list(map(self.local, sources)), list(map(self.local, destinations)))

        def delete(self, paths):
            super().delete(list(map(self.local, paths)))

    yield "shared://data/set", root / "data" / "set"
    del Shared


def test_an_address_gets_the_files_of_a_folder(shared, tmp_path):
    address, folder = shared
    write_by_beam(address)
    write(tmp_path / "local", SIZES, rows_gen=arrays)
    assert tree(folder) == tree(tmp_path / "local")
    assert verify(folder) == []
    with pytest.raises(DataError, match="shared://data/set holds a data set already"):
        write_by_beam(address, overwrite=True)


def test_the_command_writes_a_source(tmp_path):
    draw = np.random.default_rng(0)
    images, labels = draw.integers(0, 256, (30, 4, 4), np.uint8), np.arange(30) % 3
    np.savez(tmp_path / "rows.npz", x_train=images, y_train=labels)
    command = [sys.executable, "-m", "reproducible_ml.datasets.serialize.beam", "--source=npz"]
    command += ["--npz-file=rows.npz", "--record-dir=out", "--samples-per-record=7", *PROCESSES]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("30 records in out; fingerprint ")
    assert verify(tmp_path / "out") == []
    assert read_manifest(tmp_path / "out").splits["train"].records == 28


BEAM_IMPORTS = """
import logging; logging.disable()
from reproducible_ml.datasets.serialize import beam
from tests.datasets.writing import PATTERN, handlers
"""
BEAM_CALL = 'beam.write_records("data", PATTERN, handlers(), 3, SIZES, arrays, overwrite=overwrite)'


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "rounds", [range(3), pytest.param(range(100, 150), marks=pytest.mark.slow)]
)
def test_a_killed_pipeline_leaves_the_old_data_set_or_none(rounds, tmp_path):
    outcomes = check_kills(tmp_path, rounds, 1.0, BEAM_IMPORTS, BEAM_CALL)
    assert outcomes <= {"old", "new"}
    shutil.rmtree(tmp_path)
