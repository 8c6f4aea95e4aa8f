"""Evaluation of a trained GAN: its samples are compared with the test split in feature space.

N samples are judged, and as a floor also N training images, drawn at random. The floor shows how
good a figure can get at this N, since real images are judged as if they were samples. Both are
compared with the complete test split. To find copies, they are also compared with all training
images, of which each image of the floor leaves out itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reproducible_ml.input_fn import image_shape, split_batches
from reproducible_ml.models.evaluation.classifier import (
    Classifier,
    note_other_data,
)
from reproducible_ml.models.evaluation.figures import (
    FEWEST_SAMPLES,
    FIGURES,
    SAMPLES,
    Figure,
    RealOutputs,
    figures_of,
    judge,
    need_samples,
    references,
)
from reproducible_ml.models.evaluation.neighbours import Neighbours
from reproducible_ml.models.evaluation.real_images import (
    classes_in_turn,
    judge_floor,
    split_labels,
    split_outputs,
)
from reproducible_ml.models.gan import TrainedGAN
from reproducible_ml.utils.digests import array_digest, combined_digest
from reproducible_ml.utils.disk import writing
from reproducible_ml.utils.errors import ConfigError
from reproducible_ml.utils.files import write_json
from reproducible_ml.utils.images import save_grid
from reproducible_ml.utils.seeds import drawn_rows

_PAIRS = 16
_PAIRS_A_ROW = 4


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        step: The GAN's global step.
        figures: All figures.
        digests: Digests of ``generator`` (weights), ``classifier``, ``samples`` (pixels) and
            ``figures``, and of all of them as ``run``.
        grid: PNG of samples, each with its nearest training image to its right.
    """

    step: int
    figures: tuple[Figure, ...]
    digests: dict[str, str]
    grid: str


def evaluate_gan(
    record_dir: str | Path,
    model_dir: str | Path,
    classifier_dir: str | Path,
    evaluation_dir: str | Path,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Evaluate a trained GAN against the test split.

    ``evaluation_dir`` then holds ``figures.json`` and ``neighbours.png``.

    Args:
        record_dir: The data set that it was trained on.
        model_dir: Folder of its checkpoints.
        classifier_dir: Folder of a classifier for such images.
        evaluation_dir: Folder to write; created if missing.
        samples: N, at least ``FEWEST_SAMPLES``.
        seed: Root seed of the latents, and of the draw of the floor's images.

    Raises:
        ConfigError: N is too small, or GAN, classifier and data do not match.
        DataError: One of the folders is missing or damaged.
    """
    need_samples(samples)
    shape = image_shape(record_dir)
    gan = TrainedGAN(model_dir, record_dir)
    classifier = Classifier.load(classifier_dir)
    classifier.check_images(shape, str(record_dir))
    note_other_data(classifier, classifier_dir, record_dir)

    test = RealOutputs.of(split_outputs(classifier, record_dir, "test"))
    train = split_outputs(classifier, record_dir, "train")
    if min(len(test.features), len(train.features)) < FEWEST_SAMPLES:
        raise ConfigError(
            f"{record_dir} has {len(train.features)} training and {len(test.features)} test "
            f"images; an evaluation needs at least {FEWEST_SAMPLES} of each."
        )
    floor_rows = drawn_rows(len(train.features), samples, seed)

    asked_for = classes_in_turn(samples, gan.classes) if gan.classes else None
    drawn = gan.draw(samples, seed, asked_for)
    judged = judge(classifier.outputs(drawn), test, train.features)
    floor = judge_floor(train, floor_rows, judged.test_distances)
    classifier.close()
    shown = None
    if gan.classes:
        shown = split_labels(record_dir, "train", gan.settings.label_key)[floor_rows]
    values, floors = figures_of(judged, test, asked_for), figures_of(floor, test, shown)
    figures = tuple(
        Figure(
            name=name,
            value=values[name],
            samples=samples,
            floor=floors[name],
            floor_samples=len(floor_rows),
            references=references(name, len(test.features), len(train.features)),
            floor_references=references(name, len(test.features), len(train.features) - 1),
            layer=FIGURES[name].layer,
            classifier=classifier.digest,
            against=FIGURES[name].against,
            seed=seed,
        )
        for name in values
    )
    digests = {
        "generator": gan.digest,
        "classifier": classifier.digest,
        "samples": array_digest(drawn),
        "figures": combined_digest(
            {one.name: f"{one.value.hex()} {one.floor.hex()}" for one in figures}
        ),
    }
    digests["run"] = combined_digest(digests)
    folder = Path(evaluation_dir)
    with writing(f"The evaluation {folder}", folder):
        grid = _neighbour_grid(drawn, judged.neighbours, record_dir, folder / "neighbours.png")
        result = Evaluation(gan.step, figures, digests, str(grid))
        write_json(folder / "figures.json", asdict(result), indent=1, sort_keys=False)
    return result


def _neighbour_grid(drawn: Any, neighbours: Neighbours, record_dir: str | Path, path: Path) -> Path:
    """Write pairs (sample, nearest training image): the closest pairs, then the first samples."""
    nearest = np.argsort(neighbours.distances, kind="stable")[:_PAIRS]
    shown = np.concatenate([nearest, np.arange(_PAIRS)])
    wanted = neighbours.indices[shown]
    found: dict[int, Any] = {}
    start = 0
    for images, _ in split_batches(record_dir, "train"):
        for row in set(wanted.tolist()) & set(range(start, start + len(images))):
            found[row] = images[row - start]
        start += len(images)
    pairs = [tile for row, index in zip(shown, wanted) for tile in (drawn[row], found[int(index)])]
    return save_grid(np.stack(pairs), path, columns=2 * _PAIRS_A_ROW)
