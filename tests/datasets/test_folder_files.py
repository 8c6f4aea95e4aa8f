"""What the folder source takes, leaves out and says of it."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reproducible_ml.datasets.serialize import read_manifest, serialize_source
from reproducible_ml.datasets.sources import make_source
from reproducible_ml.datasets.sources.folder_files import SUFFIXES
from reproducible_ml.utils.errors import DataError
from tests.datasets.small_data import read_back
from tests.handlers.image_files import COLOUR, DEEP, GREY, REFUSED, frames, oriented, saved


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def put(*paths, content=None):
    """Write files, by default small pictures."""
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(saved(COLOUR, "PNG") if content is None else content)


def opened(**arguments):
    return make_source("folder", image_dir="photos", image_shape=(28, 28, 3), **arguments)


def paths(source):
    return sorted(
        Path(row["image"]).relative_to("photos").as_posix()
        for split in source.split_to_size
        for row in source.rows_gen(split)
    )


HIDDEN = [
    ".ipynb_checkpoints/0-checkpoint.png", "@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg", "__MACOSX/a/0.png",
    "#recycle/0.png", "$RECYCLE.BIN/0.png", "lost+found/0.png", ".DS_Store", "Thumbs.db",
]  # fmt: skip


def test_what_is_hidden_or_of_the_system_is_no_class_and_no_image_of_one():
    put("photos/cat/0.png", "photos/dog/1.png", "photos/dog/deep/2.png")
    for name in HIDDEN:
        put(f"photos/{name}", f"photos/cat/{name}", f"photos/dog/deep/{name}")
    put("photos/cat/._0.png", "photos/cat/desktop.ini")
    source = opened()
    assert source.class_names == ["cat", "dog"]
    assert paths(source) == ["cat/0.png", "dog/1.png", "dog/deep/2.png"]
    files = source.describe()["files"]
    assert files["taken"] == {"cat": 1, "dog": 2}
    # Eight in each of three places and two more; a folder counts once, whatever it holds.
    assert files["left_out"] == {
        "hidden or of the system": {
            "files": 26,
            "first": ["#recycle", "$RECYCLE.BIN", ".DS_Store", ".ipynb_checkpoints", "@eaDir"],
        }
    }
    assert source.remarks() == [
        "photos: 3 images in 2 classes: cat 1, dog 2",
        "photos: left out: 26 hidden or of the system (#recycle, $RECYCLE.BIN, .DS_Store, "
        ".ipynb_checkpoints, @eaDir and 21 more)",
    ]


def test_what_is_not_named_like_an_image_or_beside_the_classes_is_counted():
    put("photos/cat/0.png", "photos/cat/1.heic", "photos/cat/2.HEIC", "photos/cat/notes.txt")
    put("photos/cat/README", "photos/lost.jpg", "photos/labels.csv", "photos/labels of\nall.csv")
    source = opened()
    assert paths(source) == ["cat/0.png"]
    assert source.describe()["files"]["left_out"] == {
        "beside the classes": {
            "files": 3,
            "first": ["labels of\nall.csv", "labels.csv", "lost.jpg"],
        },
        "not named like an image": {
            "files": 4,
            "first": ["cat/1.heic", "cat/2.HEIC", "cat/README", "cat/notes.txt"],
        },
    }
    assert source.remarks()[1] == (
        "photos: left out: 3 beside the classes (.csv 2, .jpg 1); 4 not named like an image "
        "(.heic 2, .txt 1, no suffix 1)"
    )


def test_the_manifest_records_what_was_taken_left_out_and_converted():
    put("photos/cat/0.gif", content=frames("GIF"))
    put("photos/cat/1.png", content=saved(DEEP, "PNG"))
    put("photos/cat/2.jpg", content=oriented("JPEG", 8))
    put("photos/cat/3.png", content=saved(COLOUR, "JPEG"))
    put("photos/cat/4.tif", content=saved(Image.fromarray(COLOUR).convert("CMYK"), "TIFF"))
    put("photos/cat/notes.txt")
    source = opened()
    serialize_source(source, "data")
    recorded = read_manifest("data").source
    assert recorded == source.describe()
    assert recorded["files"]["converted"] == {
        what: {"files": 1, "first": [f"cat/{name}"]}
        for what, name in {
            "of several frames or pages, of which the first is taken": "0.gif",
            "of 16 or 12 bits, of which the upper 8 are kept": "1.png",
            "turned as their EXIF orientation says": "2.jpg",
            "named like another format than their content, which decides": "3.png",
            "of CMYK, converted to RGB without a colour profile": "4.tif",
        }.items()
    }
    assert "photos: 1 turned as their EXIF orientation says (cat/2.jpg)" in source.remarks()


def test_ordinary_images_are_not_remarked_upon_and_keep_their_bits(tmp_path):
    """The fingerprint and the digest are those that version 1.0 gave."""
    draw = np.random.default_rng(7)
    for number in range(24):
        path = Path("photos") / ("cat" if number % 2 else "dog") / f"{number:02d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = draw.integers(0, 256, (9 + number % 3, 8, 3)[: 2 + number % 2], np.uint8)
        if number % 4 == 3:
            np.save(f"{path}.npy", image)
        else:
            Image.fromarray(image).save(f"{path}.png")
    source = make_source("folder", image_dir="photos", image_shape=(8, 8, 3))
    assert source.remarks() == ["photos: 24 images in 2 classes: cat 12, dog 12"]
    manifest = serialize_source(source, "data")
    assert manifest.fingerprint == (
        "0171d582e7cfe15f14ac8b5af3a87c574a533af2656d0f52e2365dd758a6f2b4"
    )
    assert source.digest() == "99a91ca83d5d9b74c138a442d50c6256b32e383254d1361d189d330bfba60e17"
    assert "image_dtype" not in manifest.source["arguments"]


def test_the_digest_is_of_the_images_that_are_taken():
    put("photos/cat/0.png", "photos/cat/1.tif", "photos/cat/notes.txt", "photos/cat/.0.png")
    content = hashlib.sha256(saved(COLOUR, "PNG")).hexdigest()
    wanted = "".join(f"cat/{name} {content}\n" for name in ("0.png", "1.tif"))
    assert opened().digest() == hashlib.sha256(wanted.encode()).hexdigest()


def test_16_bits_are_kept_where_asked_for():
    put("photos/cat/0.png", content=saved(DEEP, "PNG"))
    put("photos/cat/1.png", content=saved(GREY, "PNG"))
    source = make_source(
        "folder", image_dir="photos", image_shape=(28, 28, 1), image_dtype="uint16"
    )
    assert source.arguments["image_dtype"] == "uint16"
    manifest = serialize_source(source, "data")
    assert manifest.features["image"].dtype == "uint16"
    images, _ = read_back(sorted(Path("data").glob("*-0*.tfrecord")))
    wanted = {DEEP.tobytes(), (GREY.astype(np.uint16) * 257).tobytes()}
    assert {image.tobytes() for image in images} == wanted


def test_12_bits_are_kept_and_scaled_by_the_range_that_is_stated():
    put("photos/cat/0.png", "photos/cat/1.png", content=saved(DEEP >> 4, "PNG"))
    deep = {"image_dir": "photos", "image_shape": (28, 28, 1), "image_dtype": "uint16"}
    with pytest.raises(DataError, match=r"can't be told: state .*value_range=\[0,4095\]"):
        serialize_source(make_source("folder", **deep), "data")
    source = make_source("folder", **deep, value_range=[0, 4095])
    manifest = serialize_source(source, "data")
    assert manifest.features["image"].value_range == (0, 4095)
    images, _ = read_back(sorted(Path("data").glob("*-0*.tfrecord")))
    assert images[0].tobytes() == (DEEP >> 4).tobytes()


@pytest.mark.parametrize("name", REFUSED)
def test_an_image_that_would_lose_something_ends_the_writing_with_its_name(name):
    content, said = REFUSED[name]
    put("photos/cat/0.png", "photos/cat/1.png")
    put(f"photos/cat/{name}", content=content)
    with pytest.raises(DataError, match=rf"tfrecord, record \d: .*{said}") as error:
        serialize_source(opened(), "data")
    assert f"photos/cat/{name}" in str(error.value)
    assert [path.name for path in Path().iterdir()] == ["photos"]


def test_a_class_of_other_files_only_says_what_it_holds():
    put("photos/cat/0.png", "photos/dog/0.heic", "photos/dog/1.heic")
    with pytest.raises(DataError, match=r"photos/dog holds no images but \.heic 2, expected files"):
        opened()


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "Validation"), ("train", "val")])
def test_splits_are_not_taken_for_classes(names):
    for name in names:
        put(f"photos/{name}/cat/0.png")
    with pytest.raises(DataError, match="which are splits and not classes; name one of them"):
        opened()
    put("photos/car/0.png")
    assert len(opened().class_names) == 3


def test_every_suffix_is_one_that_pillow_reads_itself():
    readable = Image.registered_extensions()
    # Pillow opens an MPO, two pictures of JPEG, as a JPEG.
    assert {one for one in SUFFIXES if readable.get(one) not in Image.OPEN} == {".npy", ".mpo"}
