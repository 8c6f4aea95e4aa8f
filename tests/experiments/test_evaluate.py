"""A GAN judged as a user judges it: classifier, training and evaluation in real processes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reproducible_ml.datasets.serialize import write_records
from reproducible_ml.handlers import ImageHandler
from reproducible_ml.input_fn.split import split_batches
from reproducible_ml.models.evaluation.classifier import Classifier
from reproducible_ml.utils.errors import ConfigError, DataError
from tests.experiments.running import experiment
from tests.models.evaluation.test_real_images import by_hand
from tests.tracking import lab
from tests.tracking.toy_project import command

# Several processes each, on machines that may be busy.
pytestmark = pytest.mark.timeout(600)
N = 150


class Judged:
    """What classifier, training and evaluation left: serializing is run 2, judging run 4."""

    def __init__(self, folder):
        self.folder = folder
        for name, *updates in (
            ("mnist_classifier", "classifier_dir=judge"),
            ("mnist_wgan", "model_dir=gan"),
            ("mnist_evaluate", "classifier_dir=judge", "model_dir=gan", "evaluation_dir=out"),
        ):
            code, self.output = experiment(name, folder, "with", "smoke", *updates)
            assert code == 0, self.output
        self.records = str(folder / "data" / "smoke")

    def read(self, name, run_id=4):
        """Read a JSON file of a run."""
        return json.loads((self.folder / "runs" / str(run_id) / f"{name}.json").read_text())

    @property
    def figures(self):
        return {one["name"]: one for one in self.read("info")["evaluation"]}


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    return Judged(tmp_path_factory.mktemp("judged"))


def evaluate(judged, tmp_path, **changes):
    """Judge in this process."""
    from reproducible_ml.models.evaluation.evaluate import evaluate_gan

    arguments = {
        "record_dir": judged.records,
        "model_dir": judged.folder / "gan",
        "classifier_dir": judged.folder / "judge",
        "evaluation_dir": tmp_path / "out",
        "samples": N,
        **changes,
    }
    return evaluate_gan(**arguments)


def test_every_value_stands_beside_n_layer_and_classifier(judged):
    judge = json.loads((judged.folder / "judge" / "classifier.json").read_text())["digest"]
    figures = judged.figures
    assert list(figures) == [
        "classifier_score",
        "frechet_distance",
        "kernel_distance",
        "precision",
        "recall",
        "nearest_training_distance",
        "memorized_share",
        "classifier_score_batches_of_32",
        "frechet_distance_batches_of_32",
    ]
    for one in figures.values():
        assert (one["samples"], one["floor_samples"]) == (N, N)
        assert one["classifier"] == judge
        assert one["layer"] in ("features", "logits")
        assert np.isfinite([one["value"], one["floor"]]).all()
    assert figures["frechet_distance"]["references"] == 150
    assert figures["memorized_share"]["references"] == 1500
    # An image of the floor is compared with all other training images.
    assert figures["memorized_share"]["floor_references"] == 1499
    assert figures["frechet_distance"]["floor_references"] == 150
    assert figures["classifier_score"]["floor_references"] == 0
    found = [figures[name]["against"] for name in ("recall", "memorized_share", "classifier_score")]
    assert found == ["test", "train", ""]
    assert {one["seed"] for one in figures.values()} == {1}


def test_real_images_are_judged_better_than_four_steps_of_training(judged):
    for name, one in judged.figures.items():
        if "distance" in name:
            assert one["floor"] < one["value"], name
        elif name != "memorized_share":
            assert one["floor"] > one["value"], name


def test_the_figures_are_those_of_the_drawn_samples_and_the_test_split(judged):
    from reproducible_ml.models.gan.sampling import TrainedGAN

    classifier = Classifier.load(judged.folder / "judge")
    drawn = TrainedGAN(judged.folder / "gan", judged.records).draw(N, seed=1)
    test = np.concatenate([images for images, _ in split_batches(judged.records, "test")])
    x, y = (classifier.outputs(images).features.astype(float) for images in (drawn, test))
    a, b = np.cov(x.T), np.cov(y.T)
    # The trace of a matrix' root is the sum of its eigenvalues' roots, singular or not.
    roots = np.sqrt(np.maximum(np.linalg.eigvals(a @ b).real, 0)).sum()
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b) - 2 * roots
    assert judged.figures["frechet_distance"]["value"] == pytest.approx(expected, rel=1e-3)


def test_the_floor_is_random_training_images_against_the_test_split(judged):
    classifier = Classifier.load(judged.folder / "judge")
    features = {
        split: np.concatenate(
            [
                classifier.outputs(images).features
                for images, _ in split_batches(judged.records, split)
            ]
        ).astype(float)
        for split in ("train", "test")
    }
    rows = by_hand(1500, N, 1)
    floor = features["train"][rows]
    lengths = np.sqrt(((floor[:, None] - features["train"]) ** 2).sum(-1))
    lengths[np.arange(N), rows] = np.inf
    found = judged.figures["nearest_training_distance"]["floor"]
    assert found == pytest.approx(np.median(lengths.min(1)), rel=1e-4)
    means = ((floor.mean(0) - features["test"].mean(0)) ** 2).sum()
    assert means < judged.figures["frechet_distance"]["floor"]


def test_the_run_holds_figures_floors_digests_and_grid(judged):
    info, run, metrics = (judged.read(name) for name in ("info", "run", "metrics"))
    figures = judged.figures
    assert run["status"] == "COMPLETED"
    assert run["result"]["step"] == 4
    assert run["result"]["figures"] == {name: one["value"] for name, one in figures.items()}
    for name, one in figures.items():
        assert metrics[name] == {**metrics[name], "steps": [4], "values": [one["value"]]}
        assert metrics[f"{name}_floor"]["values"] == [one["floor"]]
    assert set(info["digest"]) == {"classifier", "figures", "generator", "run", "samples"}
    assert run["result"]["digest"] == info["digest"]["run"]
    grid = judged.folder / "runs" / "4" / "neighbours.png"
    assert grid.read_bytes() == (judged.folder / "out" / "neighbours.png").read_bytes()
    assert json.loads((judged.folder / "out" / "figures.json").read_text())["step"] == 4


def test_the_run_names_the_runs_that_it_builds_on(judged):
    upstream = {one["stage"]: one["run_id"] for one in judged.read("info")["upstream"]}
    names = {judged.read("run", n)["experiment"]["name"]: n for n in (1, 2, 3)}
    assert upstream == names


def test_the_grid_shows_samples_beside_training_images(judged):
    with Image.open(judged.folder / "out" / "neighbours.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (8 * 29 + 1, 8 * 29 + 1)
    tiles = pixels[1:, 1:].reshape(8, 29, 8, 29).transpose(0, 2, 1, 3)[:, :, :28, :28]
    train = np.concatenate([images for images, _ in split_batches(judged.records, "train")])
    known = {image.tobytes() for image in np.rint((train[..., 0] + 1) * 127.5).astype(np.uint8)}
    in_train = np.array([[tile.tobytes() in known for tile in row] for row in tiles])
    assert in_train[:, 1::2].all()
    assert not in_train[:, ::2].any()


def test_the_table_is_printed(judged):
    def shown(name):
        lines = (line.split() for line in judged.output.splitlines())
        return next(line for line in lines if line[:1] == [name])

    one = judged.figures["frechet_distance"]
    values = [f"{one['value']:.4f}", "150", f"{one['floor']:.4f}", "150", "150", "test", "features"]
    assert shown("frechet_distance") == ["frechet_distance", *values]
    assert shown("memorized_share")[5:] == ["1,500", "train", "(floor", "1,499)", "features"]
    protocol = f"Floor: 150 training images, drawn with seed 1. Classifier {one['classifier'][:12]}"
    assert protocol in judged.output.splitlines()


def test_a_floor_of_fewer_images_than_samples_is_said_to_be_another(judged):
    from reproducible_ml.models.evaluation.figures import Figure
    from reproducible_ml.stages.evaluation import figures_table

    one = judged.figures["frechet_distance"]
    assert "can't be compared" not in figures_table([Figure(**one)])
    said = figures_table([Figure(**{**one, "samples": 151})]).splitlines()[-1]
    assert said.startswith("There are fewer training images than samples")
    assert said.endswith("Evaluate with samples=150.")


def test_an_evaluation_is_made_again_with_the_same_bits(judged):
    code, output = command(["reproduce", "4", "-F", str(judged.folder / "runs")], judged.folder)
    assert code == 0, output
    assert "executes run 4 again: identical." in output


@pytest.mark.parametrize("version", ["current", "1.0"])
def test_a_classifier_is_not_made_again_in_part(judged, tmp_path, version):
    runs = shutil.copytree(judged.folder / "runs", tmp_path / "runs")
    info = json.loads((runs / "1" / "info.json").read_text())
    if version == "1.0":
        # Nothing was recorded of its schedule.
        del info["stage"]["scheduled"]
        (runs / "1" / "info.json").write_text(json.dumps(info))
    before = sorted(runs.iterdir())
    where = ["-F", str(runs), "--allow-altered"]
    code, output = command(["reproduce", "1", *where, "--steps", "10"], judged.folder)
    assert code == 2
    assert output == (
        "Error: --steps can't shorten run 1: the value of learning_rate at a step depends on the "
        "last step (max_steps=30), so a shorter training has other bits.\n"
    )
    assert sorted(runs.iterdir()) == before


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_all_that_leads_to_an_evaluation_is_made_again(judged):
    where = ["-F", str(judged.folder / "runs")]
    code, output = command(["reproduce", "4", *where, "--upstream"], judged.folder)
    assert code == 0, output
    for run_id in (1, 2, 3, 4):
        assert f"executes run {run_id} again: identical." in output


@pytest.fixture(scope="module")
def watched(judged):
    """The same training once more, judged while it trains; return its run's id."""
    code, output = experiment(
        "mnist_wgan", judged.folder, "with", "smoke", "classifier_dir=judge",
        "evaluate_every_steps=2", "model_dir=watched",
    )  # fmt: skip
    assert code == 0, output
    return lab.run_id(output)


def test_judging_while_training_changes_no_bit(judged, watched):
    info, metrics = judged.read("info", watched), judged.read("metrics", watched)
    assert info["digest"] == judged.read("info", 3)["digest"]
    # At the end of training, against another split and with other latents than the evaluation.
    assert metrics["small_frechet_distance"]["steps"] == [2, 4]
    found = metrics["small_frechet_distance"]["values"]
    assert found[1] == pytest.approx(judged.figures["frechet_distance"]["value"], rel=0.3)


def test_figures_taken_while_training_stand_beside_n_layer_and_classifier(judged, watched):
    description = json.loads((judged.folder / "judge" / "classifier.json").read_text())
    info, run = judged.read("info", watched), judged.read("run", watched)
    found = info["small_evaluation"]
    assert found["classifier"] == description["digest"]
    # Of the eval split's 147 images all are taken.
    assert (found["samples"], found["references"], found["split"]) == (250, 147, "eval")
    taken = [name for name in judged.read("metrics", watched) if name.startswith("small_")]
    assert sorted(found["layers"]) == sorted(taken)
    assert found["layers"]["small_recall"] == "features"
    upstream = {one["stage"]: one["run_id"] for one in info["upstream"]}
    judge = next(
        n
        for n in (1, 2, 3)
        if judged.read("info", n)["digest"].get("weights") == description["digest"]
    )
    assert upstream["mnist_classifier"] == judge
    assert "classifier.json" in [Path(name).name for name, _ in run["resources"]]


def test_a_cluster_that_the_shell_names_does_not_join_in(judged, tmp_path):
    cluster = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}
    task = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 0}})
    code, output = experiment(
        "mnist_evaluate", judged.folder, "-u", "with", "smoke", "classifier_dir=judge",
        "model_dir=gan", f"evaluation_dir={tmp_path}", TF_CONFIG=task,
    )  # fmt: skip
    assert code == 0, output
    found = json.loads((tmp_path / "figures.json").read_text())["digests"]
    assert found == judged.read("info")["digest"]
    code, output = experiment(
        "mnist_wgan", tmp_path, "-u", "with", "smoke", "strategy=mirrored", "replicas=2",
        TF_CONFIG=task,
    )  # fmt: skip
    assert code == 1
    assert "TF_CONFIG names a cluster, and strategy='mirrored' trains on this machine" in output
    assert "Traceback" not in output
    assert not (tmp_path / "data").exists()


def test_figures_of_an_interrupted_training_are_kept(judged):
    arguments = ("smoke", "classifier_dir=judge", "evaluate_every_steps=2", "model_dir=halves/gan")
    for last in (2, 4):
        code, output = experiment(
            "mnist_wgan", judged.folder, "-F", "halves", "with", *arguments, f"max_steps={last}"
        )
        assert code == 0, output
    assert "Continuing halves/gan at step 2 of 4.\n" in output
    metrics = json.loads((judged.folder / "halves" / "2" / "metrics.json").read_text())
    assert metrics["small_kernel_distance"]["steps"] == [2, 4]


def test_more_samples_begin_with_the_same_ones(judged):
    from reproducible_ml.models.gan.sampling import TrainedGAN

    gan = TrainedGAN(judged.folder / "gan", judged.records)
    few, many, other = gan.draw(30, seed=1), gan.draw(260, seed=1), gan.draw(30, seed=2)
    assert many.shape == (260, 28, 28, 1)
    np.testing.assert_array_equal(many[:30], few)
    assert not np.array_equal(few, other)
    assert len(np.unique(many.reshape(260, -1), axis=0)) == 260


def test_a_folder_that_is_not_given_is_named(tmp_path):
    code, output = experiment("mnist_evaluate", tmp_path, "-F", "kept", "with", "smoke")
    assert code == 1
    assert "model_dir is not given. It is written by: python -m experiments.mnist_wgan" in output
    assert "Traceback" not in output


def test_too_few_samples_are_refused(judged, tmp_path):
    with pytest.raises(ConfigError, match=r"samples=128 .* needs at least 129"):
        evaluate(judged, tmp_path, samples=128)


def test_missing_folders_are_named(judged, tmp_path):
    for key, message in (
        ("record_dir", r"nothing holds no data set"),
        ("model_dir", r"nothing holds no trained GAN: there is no training\.json"),
        ("classifier_dir", r"nothing holds no classifier: there is no classifier\.json"),
    ):
        with pytest.raises(DataError, match=message):
            evaluate(judged, tmp_path, **{key: tmp_path / "nothing"})
    assert not list(tmp_path.iterdir())


def test_a_gan_of_other_data_is_refused(judged, tmp_path):
    random = np.random.default_rng(1)
    write_records(
        str(tmp_path / "noise"),
        "{}-{:05d}.tfrecord",
        {"image": ImageHandler(shape=[28, 28, 1])},
        100,
        {"train": 4, "eval": 4, "test": 4},
        lambda split: [{"image": random.integers(0, 256, (28, 28, 1), np.uint8)}] * 4,
    )
    with pytest.raises(ConfigError, match=r"trained on data of fingerprint .*noise has"):
        evaluate(judged, tmp_path, record_dir=tmp_path / "noise")


def test_a_classifier_of_other_images_is_refused(judged, tmp_path):
    classifier = Classifier.load(judged.folder / "judge")
    with pytest.raises(ConfigError, match=r"of shape \(28, 28, 1\), .* colours have \(64, 64"):
        classifier.check_images((64, 64, 3), "colours")


def test_a_damaged_result_of_the_training_is_refused_before_the_work(judged, tmp_path):
    shutil.copytree(judged.folder / "gan", tmp_path / "gan")
    (tmp_path / "gan" / "result.json").write_text("{")
    updates = [
        f"model_dir={tmp_path / 'gan'}",
        "classifier_dir=judge",
        f"evaluation_dir={tmp_path / 'out'}",
    ]
    code, output = experiment("mnist_evaluate", judged.folder, "with", "smoke", *updates)
    assert code == 1
    assert "result.json can't be read as the result of a training" in output
    assert not (tmp_path / "out").exists()
