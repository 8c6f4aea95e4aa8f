"""A Beam pipeline writes what the local writer writes, also when bundles are tried again."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.datasets.serialize.checking.verification import verify
from reproducible_ml.utils.errors import ConfigError, DataError
from tests.datasets.killing import SIZES, arrays
from tests.datasets.small_data import PATTERN, ROOT, handlers, rows_of, tree, write
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
    from reproducible_ml.datasets.serialize.beam import records as beam

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


def test_a_bundle_that_is_tried_again_leaves_no_duplicate(tmp_path, monkeypatch):
    """A worker ends after the shard was put in place, before or after its note was."""
    from reproducible_ml.datasets.serialize.beam import files as beam_files
    from reproducible_ml.datasets.serialize.beam import records as beam

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
            Path(self._folder, f"{beam_files.PART}stopped").mkdir(exist_ok=True)
            Path(self._folder, f"{plan.file}{beam_files.PART}stopped").write_text("half")

    monkeypatch.setattr(beam, "_ShardWriting", Twice)
    write_by_beam(tmp_path / "beam", rows_gen)
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
    with pytest.raises(ConfigError, match=r"rows_gen\('train'\) yields them one at a time"):
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


def test_a_source_that_no_manifest_can_hold_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="source"):
        write_by_beam(tmp_path / "data", no_rows, source={"name": b"bytes"})
    assert not list(tmp_path.iterdir())


def no_rows(split):
    raise AssertionError("rows were asked for")


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """An address of Beam's file systems, and the folder that it stands for."""
    from tests.datasets.beam import shared_address

    root = tmp_path / "bucket"
    root.mkdir()
    monkeypatch.setenv(shared_address.ROOT_VARIABLE, str(root))
    return "shared://data/set", root / "data" / "set"


def test_an_address_gets_the_files_of_a_folder(shared, tmp_path):
    address, folder = shared
    write_by_beam(address)
    write(tmp_path / "local", SIZES, rows_gen=arrays)
    assert tree(folder) == tree(tmp_path / "local")
    assert verify(folder) == []
    with pytest.raises(DataError, match="shared://data/set already holds a data set"):
        write_by_beam(address, overwrite=True)


def test_a_bundle_that_is_tried_again_at_an_address_replaces_its_files(
    shared, tmp_path, monkeypatch
):
    from reproducible_ml.datasets.serialize.beam import records as beam

    class Twice(beam._ShardWriting):
        def process(self, plan):
            list(super().process(plan))
            yield from super().process(plan)

    address, folder = shared
    monkeypatch.setattr(beam, "_ShardWriting", Twice)
    write_by_beam(address)
    write(tmp_path / "local", SIZES, rows_gen=arrays)
    assert tree(folder) == tree(tmp_path / "local")


def die_after_the_shards(address, monkeypatch, **options):
    """Write all shards and notes at an address, and no manifest, as a killed pipeline does."""
    from reproducible_ml.datasets.serialize.beam import files as beam_files

    def killed(folder, plans):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(beam_files, "collected", killed)
        with pytest.raises(KeyboardInterrupt):
            write_by_beam(address, **options)


def test_shards_of_a_dead_pipeline_do_not_mix_with_the_next_data_set(shared, tmp_path, monkeypatch):
    address, folder = shared
    die_after_the_shards(address, monkeypatch)
    # A worker that was stopped within a shard, and one between a shard and its note.
    (folder / "train-00003.tfrecord.part-0123").write_text("half")
    (folder / "train-00009.tfrecord.note").unlink()
    assert len(list(folder.iterdir())) == 2 * 13
    few = {"train": 6}
    write_by_beam(address, sizes=few, rows_gen=rows_of_few)
    write(tmp_path / "local", few, rows_gen=rows_of_few)
    assert tree(folder) == tree(tmp_path / "local")
    assert verify(folder) == []


def rows_of_few(split):
    return {key: values[:6] for key, values in arrays(split).items()}


def test_notes_of_a_dead_pipeline_do_not_hide_that_workers_write_elsewhere(shared, monkeypatch):
    from reproducible_ml.datasets.serialize.beam import files as beam_files
    from reproducible_ml.datasets.serialize.beam import records as beam

    class Elsewhere(beam._ShardWriting):
        def process(self, plan):
            yield plan.stop - plan.start

    address, folder = shared
    die_after_the_shards(address, monkeypatch)
    monkeypatch.setattr(beam, "_ShardWriting", Elsewhere)
    with pytest.raises(DataError, match=r"set/train-00000.tfrecord was not written, although"):
        write_by_beam(address)
    assert not (folder / "dataset.json").exists()
    assert not list(folder.glob(f"*{beam_files.NOTE}"))


def test_a_shard_that_is_not_what_its_worker_noted_is_named(shared, monkeypatch):
    from reproducible_ml.datasets.serialize.beam import records as beam

    class Meddled(beam._ShardWriting):
        def process(self, plan):
            yield from super().process(plan)
            if plan.file == "test-00001.tfrecord":
                (folder / plan.file).write_bytes(b"of another pipeline")

    address, folder = shared
    monkeypatch.setattr(beam, "_ShardWriting", Meddled)
    with pytest.raises(DataError, match=r"set/test-00001.tfrecord has 19 bytes, but its worker"):
        write_by_beam(address)
    assert not (folder / "dataset.json").exists()


def test_an_address_with_other_files_is_refused_and_they_stay(shared):
    address, folder = shared
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    (folder / "train-00000.tfrecord").write_text("left")
    with pytest.raises(DataError, match=r"holds files but no data set .*: notes.txt\. Choose"):
        write_by_beam(address)
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "train-00000.tfrecord"]


def test_an_address_without_a_file_system_is_refused():
    with pytest.raises(ConfigError, match=r"nowhere://data can't be written: "):
        write_by_beam("nowhere://data")


@pytest.mark.parametrize("pattern", ["{}-{}.note", "{}-{}.part-x"])
def test_a_pattern_that_gives_the_names_of_notes_is_refused(pattern, tmp_path):
    from reproducible_ml.datasets.serialize.beam import records as beam

    with pytest.raises(ConfigError, match=r"record_pattern .* the pipeline's own files"):
        beam.write_records(tmp_path / "data", pattern, handlers(), 4, SIZES, arrays)
    assert not list(tmp_path.iterdir())


def test_a_bad_row_in_another_process_is_named_as_well(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with pytest.raises(
        DataError, match=r"^train-00007.tfrecord, record 2: field .label.: found label 7[^\n]*$"
    ):
        write_by_beam(tmp_path / "data", WithABadRow(), options=PROCESSES)
    assert not list(tmp_path.iterdir())


class WithABadRow:
    def __call__(self, split):
        found = {key: values.copy() for key, values in arrays(split).items()}
        if split == "train":
            found["label"][30] = 7
        return found


def command(*options):
    """Run the command in a process of its own."""
    called = [sys.executable, "-m", "reproducible_ml.datasets.serialize.beam", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(called, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def npz():
    draw = np.random.default_rng(0)
    images, labels = draw.integers(0, 256, (30, 4, 4), np.uint8), np.arange(30) % 3
    np.savez("rows.npz", x_train=images, y_train=labels)
    return ["--source=npz", "--npz-file=rows.npz", "--record-dir=out"]


def test_the_command_writes_a_source(npz):
    done = command(*npz, "--samples-per-record=7", *PROCESSES)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("30 records in out; fingerprint ")
    assert verify("out") == []
    assert read_manifest("out").splits["train"].records == 28


@pytest.mark.slow
def test_a_pool_of_workers_without_docker_writes_a_source(npz, monkeypatch):
    """Workers as docs/beam.md starts them beside Flink and Spark; only the runner is Beam's own."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    pool = ["python", "-m", "apache_beam.runners.worker.worker_pool_main"]
    started = subprocess.Popen([*pool, f"--service_port={port}"], stderr=subprocess.DEVNULL)
    try:
        done = command(
            *npz, "--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{port}",
        )  # fmt: skip
    finally:
        started.terminate()
        started.wait()
    assert done.returncode == 0, done.stderr
    assert verify("out") == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--overwirte"], "--overwirte: neither an option of this command nor one of Beam's."),
        (["--sampels-per-record=3"], "--sampels-per-record=3: neither an option of this command"),
        (["out"], "out: neither an option"),
        (["--samples-per-record=0"], "samples_per_record must be 1 or more, found 0."),
        (["--image-shape=64x64"], "--image-shape=64x64 is not height,width,channels"),
        (["--argument=npz_file=missing.npz"], "missing.npz"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_the_command_says_in_one_sentence_what_is_wrong(options, said, npz):
    done = command(*npz, *options)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert said in done.stderr.splitlines()[-1]
    assert not os.path.exists("out")


def test_an_option_that_beam_does_not_know_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"^--direct_num_wrokers=2: neither"):
        write_by_beam(tmp_path / "data", options=["--direct_num_wrokers=2"])
    assert not list(tmp_path.iterdir())
