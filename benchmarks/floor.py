"""Frechet distances of training images to the test split, by how the images are chosen.

$ python -m benchmarks.floor --npz-file mnist.npz --classifier models/judge

Only a random choice stands for the whole split: the floor of an evaluation is the first line.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.measure import put_into

RESULTS = Path(__file__).parent / "results" / "floor.json"
SAMPLES, SEEDS = 10_000, 10


def main() -> None:
    """Measure each choice, keep the figures and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--npz-file", help="MNIST; default: the bundled digits")
    parser.add_argument(
        "--classifier", required=True, help="folder of experiments.mnist_classifier"
    )
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, help="put the table there, such as docs/evaluation.md")
    given = parser.parse_args()
    found = measure(given.npz_file, given.classifier)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(table(found))
    if given.page:
        put_into(given.page, "benchmarks.floor", table(found))


def measure(npz_file: str | None, classifier_dir: str) -> dict[str, Any]:
    """Return the distances by choice, and what they are based on."""
    import numpy as np

    from benchmarks.training import serialize
    from reproducible_ml.models.evaluation import Classifier, split_outputs
    from reproducible_ml.models.evaluation.formulas import MeanCovariance, frechet_distance
    from reproducible_ml.utils.seeds import drawn_rows

    classifier = Classifier.load(classifier_dir)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        serialize(data, npz_file)
        train, test = (
            split_outputs(classifier, data, split).features for split in ("train", "test")
        )
    count, dims = train.shape
    samples = min(SAMPLES, count // 2)
    reference = MeanCovariance(dims).update(test)

    def distance(rows: Any) -> float:
        return frechet_distance(MeanCovariance(dims).update(train[rows]), reference)

    even, odd = np.arange(0, count, 2), np.arange(1, count, 2)
    spread = np.arange(samples) * len(odd) // samples
    drawn = [distance(drawn_rows(count, samples, seed)) for seed in range(1, SEEDS + 1)]
    return {
        "distances": {
            "drawn, seed 1": drawn[:1],
            f"drawn, seeds 1 to {SEEDS}": drawn,
            "spread evenly over the rows at even places": [distance(even[spread])],
            "spread evenly over the rows at odd places": [distance(odd[spread])],
            "the first rows": [distance(np.arange(samples))],
            "the last rows": [distance(np.arange(count - samples, count))],
        },
        "samples": samples,
        "references": {"test": len(test)},
        "classifier": classifier.digest,
    }


def table(found: dict[str, Any]) -> str:
    """Return the distances as Markdown."""
    lines = ["| training images | frechet distance |", "| --- | --- |"]
    for choice, values in found["distances"].items():
        shown = f"{statistics.mean(values):.3g}"
        if len(values) > 1:
            shown += f" ± {statistics.stdev(values):.2g}"
        lines.append(f"| {choice} | {shown} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
