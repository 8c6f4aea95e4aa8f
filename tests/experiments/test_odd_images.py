"""A folder of odd image files on the whole way: written, verified, trained on and reported."""

import json
from collections import Counter
from pathlib import Path

import numpy as np

from reproducible_ml.datasets.serialize.checking import verify
from reproducible_ml.input_fn import input_fn
from reproducible_ml.report.page import make_report
from reproducible_ml.tracking.runs import load_run, open_store
from tests.experiments.running import experiment
from tests.handlers.image_files import RIGHT


def test_odd_image_files_are_written_verified_trained_on_and_reported(tmp_path):
    wanted = Counter()
    for number, (name, (content, pixels)) in enumerate(RIGHT.items()):
        path = tmp_path / "photos" / "ab"[number % 2] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        wanted[np.asarray(pixels, np.uint8).tobytes()] += 1
    (tmp_path / "photos/@eaDir").mkdir()
    (tmp_path / "photos/@eaDir/thumb.jpg").write_bytes(RIGHT["plain.jpg"][0])
    said = [
        f"photos: {len(RIGHT)} images in 2 classes: a {(len(RIGHT) + 1) // 2}, b {len(RIGHT) // 2}",
        "photos: left out: 1 hidden or of the system (@eaDir)",
        "photos: 4 turned as their EXIF orientation says (a/mirrored.png)",
        "photos: 5 of several frames or pages, of which the first is taken (a/moving.gif)",
    ]
    source = ["source=folder", "image_dir=photos", "image_shape=[28,28,3]", "record_dir=data"]
    code, output = experiment("mnist_serialize", tmp_path, "with", *source)
    assert code == 0, output
    for line in said:
        assert line in output.splitlines()

    # The pixels of all splits, as a reader of the data set sees them.
    assert verify(tmp_path / "data") == []
    manifest = json.loads(Path(tmp_path, "data/dataset.json").read_text(encoding="utf-8"))
    found = Counter()
    for split, entry in manifest["splits"].items():
        read = input_fn(
            tmp_path / "data", split, entry["records"], noise_dims=1, shuffle=False, repeat=False
        )
        ((_, images),) = read().as_numpy_iterator()
        assert images.dtype == np.float32
        for image in images:
            # From -1 as 0 to 1 as 255, by hand.
            stored = np.rint((image + 1) * 127.5).astype(np.uint8)
            np.testing.assert_allclose(stored / 127.5 - 1, image, atol=1e-6)
            found[stored.tobytes()] += 1
    assert found == wanted

    quick = ["record_dir=data", "max_steps=1", "batch_size=4", "model_dir=model"]
    code, output = experiment("mnist_wgan", tmp_path, "with", *quick)
    assert code == 0, output
    with open_store(tmp_path / "runs") as store:
        written, trained = load_run(1, store), load_run(2, store)
        page = make_report([trained])
    assert said[0] in written.log
    assert trained.status == "COMPLETED"
    assert "turned as their EXIF orientation says" in page
    assert "hidden or of the system" in page
