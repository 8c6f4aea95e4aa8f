"""Where rows come from: the table of sources, one after the other."""

import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from reproducible_ml.datasets.serialize import serialize_npz, serialize_source
from reproducible_ml.datasets.sources import SOURCES, ArraySource, make_source, reopen
from reproducible_ml.utils.errors import ConfigError, DataError
from tests.datasets.small_data import images_and_labels, read_back


def test_an_unknown_source_names_those_that_there_are():
    with pytest.raises(ConfigError, match=r"no source 'cifar'\. Choose one of: csv, digits,"):
        make_source("cifar")
    assert list(SOURCES) == ["csv", "digits", "folder", "mnist", "npz", "parquet", "tfds"]


def test_an_argument_that_no_source_has_is_refused(tmp_path):
    expected = (
        r"No source has an argument 'image_shap'; did you mean 'image_shape'\? Those of folder: "
        r"image_dir, image_shape, image_dtype, value_range\."
    )
    with pytest.raises(ConfigError, match=expected):
        make_source("folder", image_dir=str(tmp_path), image_shap=[8, 8, 1])
    with pytest.raises(ConfigError, match=r"an argument 'split'; .* Those of digits: none\."):
        make_source("digits", split=0.5)
    # What another source has, a configuration may hold.
    assert make_source("digits", image_dir=None, npz_file="other.npz").name == "digits"


def test_a_source_that_is_added_is_opened_by_name_with_the_arguments_of_all(monkeypatch, tmp_path):
    def squares(**unused):
        images, labels = images_and_labels(6)
        arrays = {"train": (images[:4], labels[:4]), "test": (images[4:], labels[4:])}
        return ArraySource("squares", {}, arrays, 10, "A square")

    monkeypatch.setitem(SOURCES, "squares", squares)
    source = make_source("squares", npz_file=None, image_dir=None, image_shape=[8, 8, 1])
    manifest = serialize_source(source, tmp_path / "data")
    assert manifest.source["name"] == "squares"
    assert {name: split.records for name, split in manifest.splits.items()} == {
        "train": 4,
        "test": 2,
    }


# --- digits


def test_digits_are_all_1797_in_their_order():
    source = make_source("digits")
    assert source.split_to_size == {"train": 1500, "eval": 147, "test": 150}
    labels = [row["label"] for split in source.split_to_size for row in source.rows_gen(split)]
    assert labels == load_digits().target.tolist()


def test_digits_are_20x20_bytes_in_a_frame_of_28x28():
    rows = list(make_source("digits").rows_gen("train"))
    images = np.stack([row["image"] for row in rows])
    assert (images.shape, images.dtype) == ((1500, 28, 28, 1), np.uint8)
    inside = np.zeros((28, 28), bool)
    inside[4:24, 4:24] = True
    assert not images[:, ~inside].any()
    assert images.min() == 0
    assert images.max() == 255
    # Of the small originals nothing is lost but detail: averaged to 4x4 both are much alike.
    small = load_digits().images[:1500].reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)) * 255 / 16
    large = images[:, 4:24, 4:24, 0].reshape(-1, 4, 5, 4, 5).mean(axis=(2, 4))
    assert np.abs(small - large).max() < 40


def test_a_slice_of_the_rows_gives_that_part_of_them():
    source = make_source("digits")
    part = list(source.rows_gen("eval")[10:13])
    whole = list(source.rows_gen("eval"))
    assert len(part) == 3
    for one, other in zip(part, whole[10:13]):
        np.testing.assert_array_equal(one["image"], other["image"])


# --- mnist


def test_mnist_that_cannot_be_reached_names_both_ways_out(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    with pytest.raises(DataError) as raised:
        make_source("mnist")
    assert "npz_file=path/to/mnist.npz" in str(raised.value)
    assert "with digits" in str(raised.value)
    assert str(tmp_path / "keras" / "datasets" / "mnist.npz") in str(raised.value)
    assert not list(tmp_path.iterdir())


def mnist_like(path, train=55_010):
    """Write a file of MNIST's form with little in it."""
    x = np.zeros((train, 28, 28), np.uint8)
    x[:, 0, 0] = np.arange(train) % 251
    y = (np.arange(train) % 10).astype(np.uint8)
    np.savez(path, x_train=x, y_train=y, x_test=x[:7], y_test=y[:7])


def test_mnists_first_55000_are_train_and_the_rest_eval(tmp_path):
    mnist_like(tmp_path / "mnist.npz")
    source = make_source("mnist", npz_file="mnist.npz")
    assert source.split_to_size == {"train": 55_000, "eval": 10, "test": 7}
    first = source.rows_gen("eval")[0]
    assert first["image"][0, 0, 0] == 55_000 % 251
    assert source.arguments == {"npz_file": str(tmp_path / "mnist.npz")}


def test_mnist_is_taken_from_keras_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "datasets").mkdir()
    mnist_like(tmp_path / "datasets" / "mnist.npz")
    assert make_source("mnist").split_to_size["train"] == 55_000


def test_a_file_too_small_for_mnist_is_refused(tmp_path):
    mnist_like(tmp_path / "mnist.npz", train=100)
    with pytest.raises(
        DataError, match=r"mnist\.npz is not MNIST: x_train has shape \(100, 28, 28"
    ):
        make_source("mnist", npz_file="mnist.npz")


# --- npz


def sorted_by_class(count, classes):
    """Images that differ in all rows, and labels in ascending order."""
    images = np.arange(count, dtype=np.uint16).view(np.uint8).reshape(count, 1, 2)
    return images, np.arange(count) * classes // count


def test_an_npz_without_eval_gives_it_a_twelfth_drawn_from_all_classes():
    images, labels = sorted_by_class(600, classes=4)
    np.savez("rows.npz", x_train=images, y_train=labels, x_test=images[:5], y_test=labels[:5])
    source = make_source("npz", npz_file="rows.npz")
    assert source.split_to_size == {"train": 550, "eval": 50, "test": 5}
    seed = int.from_bytes(hashlib.sha256(b"0/split").digest()[:4], "little") % 2**31
    drawn = sorted(np.random.RandomState(seed).permutation(600)[:50].tolist())
    rest = [row for row in range(600) if row not in drawn]
    for split, rows in (("eval", drawn), ("train", rest)):
        found = list(source.rows_gen(split))
        np.testing.assert_array_equal([row["image"][..., 0] for row in found], images[rows])
        assert [row["label"] for row in found] == labels[rows].tolist()
    # Each class has 12.5 on average, and 3 standard deviations are 9.
    assert np.bincount(labels[drawn], minlength=4).min() >= 4
    assert source.arguments["eval_seed"] == 0
    other = make_source("npz", npz_file="rows.npz", eval_seed=1)
    assert other.digest() != source.digest()


def test_an_npz_of_an_earlier_version_is_opened_again_with_the_last_rows_as_eval():
    images, labels = sorted_by_class(24, classes=4)
    np.savez("rows.npz", x_train=images, y_train=labels)
    written = {"name": "npz", "arguments": {"npz_file": "rows.npz"}}
    before = reopen(written, "records")
    assert [row["label"] for row in before.rows_gen("eval")] == labels[22:].tolist()
    # What is written now says how, so that it is opened again alike.
    now = make_source("npz", npz_file="rows.npz")
    again = reopen({"name": "npz", "arguments": now.arguments}, "records")
    assert again.digest() == now.digest() != before.digest()


def test_an_npz_with_eval_keeps_it():
    images, labels = images_and_labels(9)
    np.savez("r.npz", x_train=images[..., 0], y_train=labels, x_eval=images[:4], y_eval=labels[:4])
    source = make_source("npz", npz_file="r.npz")
    assert source.split_to_size == {"train": 9, "eval": 4}
    assert source.rows_gen("train")[0]["image"].shape == (4, 4, 1)


def test_an_npz_is_written_and_read_back(tmp_path):
    images, labels = images_and_labels(12)
    np.savez("rows.npz", x_train=images, y_train=labels, x_eval=images[:3], y_eval=labels[:3])
    manifest = serialize_source(
        make_source("npz", npz_file="rows.npz"), "records", compression="GZIP"
    )
    assert manifest.handlers["label"]["classes"] == 3
    found, found_labels = read_back(tmp_path.glob("records/train-*"), "GZIP")
    np.testing.assert_array_equal(found, images.reshape(12, 16))
    assert found_labels == labels.tolist()


def test_source_npz_asks_for_its_file():
    with pytest.raises(DataError, match="npz_file=path/to/file"):
        make_source("npz")


def test_an_npz_with_images_but_no_labels_of_a_split_is_refused():
    images, labels = images_and_labels(9)
    np.savez("rows.npz", x_train=images, y_train=labels, x_test=images)
    with pytest.raises(DataError, match="has x_test but no array 'y_test'"):
        make_source("npz", npz_file="rows.npz")


def test_the_digest_tells_other_data():
    images, labels = images_and_labels(9)
    np.savez("a.npz", x_train=images, y_train=labels)
    np.savez_compressed("b.npz", x_train=images, y_train=labels)
    changed = images.copy()
    changed[8, 3, 3, 0] ^= 1
    np.savez("c.npz", x_train=changed, y_train=labels)
    digests = [make_source("npz", npz_file=f"{name}.npz").digest() for name in "abc"]
    assert digests[0] == digests[1] != digests[2]


# --- folder


def make_folder(root, names):
    """Fill a folder with one grey for each image, PNG, JPEG and .npy in turn."""
    for number, name in enumerate(names):
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        image = np.full((6, 6), number, np.uint8)
        if path.suffix == ".npy":
            np.save(path, image)
        else:
            Image.fromarray(image).save(path)


def names(count):
    suffixes = ("png", "jpg", "npy")
    return [f"{'cat' if n % 2 else 'dog'}/{n:03d}.{suffixes[n % 3]}" for n in range(count)]


def split_by_hand(name):
    """Take one path in twelve to eval and one to test, by its digest."""
    part = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") % 12
    return {0: "eval", 1: "test"}.get(part, "train")


def rows_by_split(source):
    return {
        split: [(Path(row["image"]).name, row["label"]) for row in source.rows_gen(split)]
        for split in source.split_to_size
    }


def test_a_folder_is_split_by_the_digest_of_each_path():
    make_folder("images", names(60))
    source = make_source("folder", image_dir="images", image_shape=(8, 8, 1))
    assert source.class_names == ["cat", "dog"]
    wanted = {"train": [], "eval": [], "test": []}
    for name in sorted(names(60)):
        wanted[split_by_hand(name)].append((name.split("/")[1], int(name.startswith("dog"))))
    assert rows_by_split(source) == wanted
    assert all(wanted.values())


def test_one_more_image_moves_no_other_one():
    make_folder("images", names(60))
    before = rows_by_split(make_source("folder", image_dir="images"))
    make_folder("images", ["cat/another.png"])
    after = rows_by_split(make_source("folder", image_dir="images"))
    assert {
        split: [row for row in rows if row[0] != "another.png"] for split, rows in after.items()
    } == before
    assert sum(map(len, after.values())) == 61


def test_a_folder_is_written_with_its_images_resized(tmp_path):
    make_folder("images", names(24))
    source = make_source("folder", image_dir="images", image_shape=(8, 8, 1))
    serialize_source(source, "records")
    images, labels = read_back(tmp_path.glob("records/train-*"))
    wanted = [name for name in sorted(names(24)) if split_by_hand(name) == "train"]
    assert labels == [int(name.startswith("dog")) for name in wanted]
    for image, name in zip(images, wanted):
        assert np.abs(image.astype(int) - int(name.split("/")[1][:3])).max() <= 1


def test_files_that_are_no_images_and_hidden_ones_are_left_out():
    make_folder("images", [*names(6), "cat/.hidden.png", "cat/deep/er.PNG"])
    Path("images/cat/Thumbs.db").write_bytes(b"?")
    Path("images/readme.txt").write_text("of the whole folder")
    found = rows_by_split(make_source("folder", image_dir="images"))
    files = sorted(name for rows in found.values() for name, _ in rows)
    assert files == sorted([*(name.split("/")[1] for name in names(6)), "er.PNG"])


def test_a_folder_that_is_none_and_one_without_classes_are_refused():
    with pytest.raises(DataError, match="no folder images"):
        make_source("folder", image_dir="images")
    Path("images").mkdir()
    with pytest.raises(DataError, match="images has no sub-folders"):
        make_source("folder", image_dir="images")
    with pytest.raises(DataError, match="image_dir=path/to/images"):
        make_source("folder")


def test_a_class_without_images_is_named():
    make_folder("images", ["cat/0.png"])
    Path("images/dog").mkdir()
    with pytest.raises(DataError, match="images/dog holds no images"):
        make_source("folder", image_dir="images")


def test_a_link_to_a_folder_above_is_refused():
    make_folder("images", ["cat/0.png"])
    Path("images/cat/again").symlink_to(Path("images").absolute())
    with pytest.raises(DataError, match="images/cat/again is a link to a folder above it"):
        make_source("folder", image_dir="images")


def test_an_image_that_cannot_be_read_names_file_shard_and_record(tmp_path):
    make_folder("images", ["cat/0.png"])
    name = next(f"cat/{n}.png" for n in range(1, 99) if split_by_hand(f"cat/{n}.png") == "train")
    Path("images", name).write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    source = make_source("folder", image_dir="images", image_shape=(8, 8, 1))
    with pytest.raises(DataError, match=rf"train-00000\.tfrecord, record \d: .*images/{name}"):
        serialize_source(source, "records")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_the_digest_of_a_folder_is_that_of_paths_and_contents():
    make_folder("images", names(4))
    first = make_source("folder", image_dir="images").digest()
    Path("images").rename("moved")
    assert make_source("folder", image_dir="moved").digest() == first
    np.save("moved/dog/002.npy", np.full((6, 6), 99, np.uint8))
    assert make_source("folder", image_dir="moved").digest() != first


def test_rows_of_a_folder_are_made_when_they_are_looked_at(monkeypatch):
    """So a worker pays for its own shard, not for every image of the split."""
    make_folder("images", names(60))
    rows = make_source("folder", image_dir="images").rows_gen("train")
    whole, count = list(rows), len(rows)
    monkeypatch.setattr("pathlib.Path.__truediv__", lambda *paths: pytest.fail("a row was made"))
    part = rows[10:13]
    assert len(part) == 3
    # What goes to a worker is what it needs.
    assert len(pickle.dumps(part)) < len(pickle.dumps(rows)) * 0.5
    monkeypatch.undo()
    assert list(part) == whole[10:13]
    assert [rows[index] for index in range(count)] == whole
    assert rows[-1] == whole[-1]
    assert list(rows[count:]) == []


@pytest.mark.parametrize("place", ["images/dog", "images/cat/more"])
@pytest.mark.parametrize("leads", ["/nowhere", "itself"])
def test_a_class_or_sub_folder_that_is_a_link_to_nothing_is_refused(place, leads):
    make_folder("images", ["cat/0.png"])
    Path(place).symlink_to(Path(place).name if leads == "itself" else leads)
    with pytest.raises(DataError, match=f"{place} is a broken link to "):
        make_source("folder", image_dir="images")


def test_hidden_links_to_nothing_are_left_alone():
    make_folder("images", ["cat/0.png"])
    for place in ("images/.#readme", "images/cat/.#0.png"):
        Path(place).symlink_to("user@host.1234:5678")
    assert make_source("folder", image_dir="images").class_names == ["cat"]


@pytest.mark.parametrize("source", ["folder", "npz", "mnist"])
def test_a_source_whose_name_is_not_utf_8_is_refused_when_it_is_opened(source):
    path = os.fsdecode(b"caf\xe9")
    images, labels = images_and_labels(24)
    if source == "folder":
        make_folder(path, ["cat/0.png"])
    elif source == "npz":
        with open(path, "wb") as file:
            np.savez(file, x_train=images, y_train=labels)
    else:
        with open(path, "wb") as file:
            mnist_like(file)
    with pytest.raises(DataError, match=r"caf\\udce9' has a name that is not UTF-8; rename it"):
        make_source(source, **{"image_dir" if source == "folder" else "npz_file": path})


def test_serialize_npz_refuses_a_name_that_is_not_utf_8(tmp_path):
    path = os.fsdecode(b"caf\xe9.npz")
    np.savez(path, rows=np.zeros((3, 2)))
    with pytest.raises(DataError, match="has a name that is not UTF-8; rename it"):
        serialize_npz(path, "rows", "records")
    assert not (tmp_path / "records").exists()
