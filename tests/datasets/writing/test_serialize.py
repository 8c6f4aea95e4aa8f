"""Rows to shards and a manifest."""

import hashlib
import json
import re
import sys

import crc32c
import numpy as np
import pytest

from reproducible_ml.datasets.serialize import (
    div_mod,
    get_writer,
    read_manifest,
    serialize_npz,
    write_samples,
)
from reproducible_ml.datasets.serialize.checking.repairing import repair
from reproducible_ml.handlers import ArrayHandler
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.progress import Progress
from tests.datasets.small_data import handlers, images_and_labels, read_back, rows_of, tree, write


@pytest.mark.parametrize(
    ("size", "shard", "full", "rest"),
    [(0, 3, 0, 0), (2, 3, 0, 2), (3, 3, 1, 0), (10, 3, 3, 1), (55_000, 5000, 11, 0)],
)
def test_div_mod_gives_full_shards_and_the_rest(size, shard, full, rest):
    assert div_mod(size, shard) == (full, rest)


@pytest.mark.parametrize(("size", "shard"), [(5, 0), (5, -1), (-1, 5)])
def test_div_mod_refuses_numbers_that_are_none(size, shard):
    with pytest.raises(ConfigError, match=str(min(size, shard))):
        div_mod(size, shard)


def test_get_writer_fills_split_and_index_into_the_pattern(tmp_path):
    writer, path = get_writer(str(tmp_path / "{}-{:05d}.tfrecord"), "eval", 12)
    writer.close()
    assert path == str(tmp_path / "eval-00012.tfrecord")
    assert (tmp_path / "eval-00012.tfrecord").exists()


@pytest.mark.parametrize("pattern", ["{}.tfrecord", "all-{1:05d}.tfrecord", "one.tfrecord"])
def test_a_pattern_that_gives_two_shards_one_name_is_refused(pattern, tmp_path):
    with pytest.raises(ConfigError, match="several shards one name"):
        write("records", {"train": 3}, record_pattern=pattern)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("pattern", ["{}-{}-{}", "{split}-{index}", "{}-{:q}", "{"])
def test_a_pattern_of_other_fields_is_refused(pattern, tmp_path):
    with pytest.raises(ConfigError, match="does not take a split and an index"):
        write("records", {"train": 3}, record_pattern=pattern)
    assert not list(tmp_path.iterdir())


def test_the_pattern_names_the_shards(tmp_path):
    write("records", {"train": 5}, record_pattern="digits_{}_{}.rec")
    assert sorted(path.name for path in (tmp_path / "records").glob("*.rec")) == [
        "digits_train_0.rec",
        "digits_train_1.rec",
    ]


def test_full_shards_come_first_then_one_with_the_rest(tmp_path):
    write("records", {"train": 10, "eval": 4, "test": 3}, samples_per_record=4)
    found = {path.name: len(read_back([path])[1]) for path in tmp_path.glob("records/*.tfrecord")}
    assert found == {
        "train-00000.tfrecord": 4,
        "train-00001.tfrecord": 4,
        "train-00002.tfrecord": 2,
        "eval-00000.tfrecord": 4,
        "test-00000.tfrecord": 3,
    }


def test_write_samples_leaves_what_it_does_not_need_in_the_generator(tmp_path):
    rows = rows_of({"train": 5})("train")
    writer, path = get_writer(str(tmp_path / "{}-{}"), "train", 0)
    assert write_samples(3, rows, handlers(), writer) == 3
    assert read_back([path])[1] == [0, 1, 2]
    assert [row["label"] for row in rows] == [0, 1]


@pytest.mark.parametrize(("named", "yielded"), [(7, 5), (5, 7), (4, 5), (4, 3)])
def test_too_few_or_too_many_rows_name_the_split_and_both_numbers(named, yielded, tmp_path):
    def rows_gen(split):
        return rows_of({"train": 2, "eval": yielded})(split)

    with pytest.raises(DataError, match="'eval'") as raised:
        write("records", {"train": 2, "eval": named}, rows_gen=rows_gen)
    assert {named, yielded} <= {int(number) for number in re.findall(r"\d+", str(raised.value))}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("compression", ["", "GZIP", "ZLIB"])
def test_every_compression_is_read_back_by_tensorflow(compression, tmp_path):
    sizes = {"train": 10, "test": 3}
    write("records", sizes, compression=compression)
    for split, size in sizes.items():
        paths = sorted(tmp_path.glob(f"records/{split}-*"))
        images, labels = read_back(paths, compression)
        wanted, wanted_labels = images_and_labels(size, len(split))
        np.testing.assert_array_equal(images, wanted.reshape(size, 16))
        assert labels == list(wanted_labels)


def test_compressions_and_shard_sizes_have_one_fingerprint(tmp_path):
    found = {
        write(f"{shard}{compression}", {"train": 10}, shard, compression=compression).fingerprint
        for shard in (3, 10)
        for compression in ("", "GZIP", "ZLIB")
    }
    assert len(found) == 1
    other = write("other", {"train": 10}, rows_gen=lambda split: rows_of({"eval": 10})("eval"))
    assert other.fingerprint not in found


def test_the_manifest_says_what_lies_in_the_folder(tmp_path):
    write(
        "records",
        {"train": 6, "eval": 1},
        compression="GZIP",
        keys_to_descriptions={"image": "Noise", "label": "Class"},
        source={"name": "by hand"},
    )
    values = json.loads((tmp_path / "records" / "dataset.json").read_text())
    assert values["compression"] == "GZIP"
    assert values["samples_per_record"] == 4
    assert values["record_pattern"] == "{}-{:05d}.tfrecord"
    assert values["source"]["name"] == "by hand"
    assert list(values["splits"]) == ["train", "eval"]
    assert [values["splits"][split]["records"] for split in ("train", "eval")] == [6, 1]
    assert values["features"]["image"] == {
        "kind": "bytes",
        "dtype": "uint8",
        "shape": [4, 4, 1],
        "encoding": "raw",
        "description": "Noise",
        "value_range": [0.0, 255.0],
        # Of 112 random bytes.
        "minimum": 0,
        "maximum": 255,
    }
    label = values["features"]["label"]
    assert (label["kind"], label["dtype"], label["shape"]) == ("int64", "int64", [])
    assert label["description"] == "Class"
    assert values["handlers"]["label"]["classes"] == 3
    shards = [shard for split in values["splits"].values() for shard in split["shards"]]
    assert [(shard["file"], shard["records"]) for shard in shards] == [
        ("train-00000.tfrecord", 4),
        ("train-00001.tfrecord", 2),
        ("eval-00000.tfrecord", 1),
    ]
    for shard in shards:
        content = (tmp_path / "records" / shard["file"]).read_bytes()
        assert shard["bytes"] == len(content)
        assert shard["checksum"] == f"{crc32c.crc32c(content):08x}"


def test_the_manifest_read_is_the_manifest_written():
    written = write("records", {"train": 6})
    assert read_manifest("records") == written


def test_an_altered_manifest_is_noticed(tmp_path):
    write("records", {"train": 6})
    path = tmp_path / "records" / "dataset.json"
    path.write_text(path.read_text().replace('"records": 6', '"records": 5', 1))
    with pytest.raises(DataError, match="altered"):
        read_manifest("records")


def test_an_open_shape_is_that_of_the_first_row_and_then_enforced(tmp_path):
    def rows_gen(split):
        yield np.zeros((2, 3), np.float32)
        yield np.zeros((3, 2) if split == "eval" else (2, 3), np.float32)

    options = {"keys_to_handlers": {"it": ArrayHandler()}, "rows_gen": rows_gen}
    schema = write("records", {"train": 2}, **options).features["it"]
    assert (schema.dtype, schema.shape) == ("float32", (2, 3))
    with pytest.raises(
        DataError, match=r"eval-00000\.tfrecord, record 1: .*\(3, 2\), expected \(2"
    ):
        write("other", {"train": 2, "eval": 2}, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


def test_a_description_of_no_feature_is_refused(tmp_path):
    with pytest.raises(DataError, match="picture"):
        write("records", {"train": 3}, keys_to_descriptions={"picture": "?"})
    assert not list(tmp_path.iterdir())


def test_a_data_set_is_replaced_only_when_asked(tmp_path):
    first = write("records", {"train": 6})
    with pytest.raises(DataError, match="overwrite=True"):
        write("records", {"train": 3})
    assert read_manifest("records").fingerprint == first.fingerprint
    write("records", {"train": 3}, overwrite=True)
    assert read_manifest("records").splits["train"].records == 3
    assert [path.name for path in tmp_path.iterdir()] == ["records"]
    assert sorted(path.name for path in (tmp_path / "records").iterdir()) == [
        "dataset.json",
        "train-00000.tfrecord",
    ]


def test_a_folder_with_other_files_is_not_touched(tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="no data set"):
        write("records", {"train": 3}, overwrite=True)
    assert [path.name for path in (tmp_path / "records").iterdir()] == ["thesis.txt"]


def test_plain_lines_tell_of_progress_where_there_is_no_terminal(capsys, monkeypatch):
    seconds = iter([0.0, 1.0, 6.0, 6.0, 7.0])
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))
    with Progress(4000) as progress:
        for _ in range(3):
            progress.advance(1000)
    assert capsys.readouterr().err == "2,000 of 4,000 records written (50%)\n"


def test_a_script_that_imports_a_kernel_prints_lines_all_the_same(capsys, monkeypatch):
    pytest.importorskip("ipykernel.zmqshell")
    monkeypatch.setattr("reproducible_ml.utils.progress._LINE_SECONDS", 0.0)
    with Progress(4) as progress:
        progress.advance(1)
    assert capsys.readouterr().err == "1 of 4 records written (25%)\n"


def test_a_bar_tells_of_progress_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    write("records", {"train": 6})
    shown = capsys.readouterr().err
    assert "100%" in shown
    assert "6.00/6.00" in shown


def test_serialize_npz_writes_the_rows_of_one_array(tmp_path):
    values = np.arange(21, dtype=np.float32).reshape(7, 3)
    np.savez(tmp_path / "rows.npz", rows=values, others=np.zeros(2))
    manifest = serialize_npz(
        "rows.npz",
        "rows",
        "records",
        samples_per_record=3,
        compression="ZLIB",
        keys_to_descriptions={"rows": "Counted"},
    )
    assert [shard.records for shard in manifest.splits["train"].shards] == [3, 3, 1]
    assert list(manifest.splits) == ["train"]
    schema = manifest.features["rows"]
    assert (schema.dtype, schema.shape, schema.encoding) == ("float32", (3,), "raw")
    assert schema.description == "Counted"
    assert manifest.source["arguments"] == {"npz_file": f"{tmp_path}/rows.npz", "key": "rows"}
    described = hashlib.sha256(b"<f4[7, 3]" + values.tobytes()).hexdigest()
    assert manifest.source["digest"] == described
    import tensorflow as tf

    shards = sorted(str(path) for path in tmp_path.glob("records/train-*"))
    found = [
        tf.train.Example.FromString(record).features.feature["rows"].bytes_list.value[0]
        for record in tf.data.TFRecordDataset(shards, "ZLIB").as_numpy_iterator()
    ]
    assert b"".join(found) == values.tobytes()


def test_what_serialize_npz_wrote_is_repaired_from_its_file(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 4), np.uint8)
    np.savez(tmp_path / "rows.npz", images=images, others=np.zeros(2))
    serialize_npz("rows.npz", "images", "records", samples_per_record=3)
    before = tree(tmp_path / "records")
    (tmp_path / "records" / "train-00001.tfrecord").unlink()
    monkeypatch.chdir("/")
    assert repair(tmp_path / "records") == ["train-00001.tfrecord"]
    assert tree(tmp_path / "records") == before
    (tmp_path / "records" / "train-00001.tfrecord").unlink()
    np.savez(tmp_path / "rows.npz", images=images[::-1])
    with pytest.raises(DataError, match="have changed since the data set was written"):
        repair(tmp_path / "records")


def test_a_repair_of_what_serialize_npz_wrote_with_a_handler_is_refused(tmp_path):
    np.savez("rows.npz", rows=np.arange(6).reshape(3, 2))
    serialize_npz("rows.npz", "rows", "records", ArrayHandler((2,), "uint8"))
    (tmp_path / "records" / "train-00000.tfrecord").unlink()
    with pytest.raises(DataError, match="with other handlers than those of the source npz arr"):
        repair("records")


def test_serialize_npz_takes_a_handler(tmp_path):
    np.savez(tmp_path / "rows.npz", rows=np.arange(6).reshape(3, 2))
    manifest = serialize_npz("rows.npz", "rows", "records", ArrayHandler((2,), "uint8"))
    assert manifest.features["rows"].dtype == "uint8"


def test_the_content_digest_is_that_of_lengths_and_checksums_in_order(tmp_path):
    split = write("records", {"train": 6}).splits["train"]
    import tensorflow as tf

    shards = sorted(str(path) for path in tmp_path.glob("records/train-*"))
    digest = hashlib.sha256()
    for record in tf.data.TFRecordDataset(shards).as_numpy_iterator():
        digest.update(len(record).to_bytes(8, "little"))
        digest.update(crc32c.crc32c(record).to_bytes(4, "little"))
    assert split.content == digest.hexdigest()
