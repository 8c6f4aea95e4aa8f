"""Quality of the samples of each GAN type after the same number of critic updates.

$ python -m benchmarks.quality --npz-file mnist.npz --classifier models/judge

All have the same generator and noise; each type trains with its practical values. The peer is the
recipe of TF-GAN's example for MNIST: Wasserstein losses, spectral normalization in the critic, Adam
with 1e-3 and 1e-4, one critic update per step; once with our critic, once with the example's own.
All are evaluated as ``evaluate_gan`` does it: N = 10,000 samples against the whole test split, with
the same classifier. So are as many real digits, drawn from the train split: the floor.

Every training is a process. benchmarks/results/quality.json keeps finished trainings, so an
interrupted round resumes with the rest; figures of another protocol than ``PROTOCOL``, or of
another classifier, are measured again. With --work, samples are kept too and are not drawn again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.measure import put_into
from reproducible_ml.utils.files import replacing
from reproducible_ml.utils.text import SHORT_DIGEST

RESULTS = Path(__file__).parent / "results" / "quality.json"
RECIPE, EXAMPLE = "TF-GAN's recipe", "TF-GAN's example"
REAL = "real digits"
SAMPLES, BATCH_SIZE, NOISE_DIMS, GRID = 10_000, 32, 64, 64
# Version of how figures are taken. The first took every fifth training image as the floor, compared
# it with itself too, and made batches in the written order; what the table shows of samples is the
# same in both.
PROTOCOL = 2
SHOWN = ("classifier_score", "frechet_distance", "kernel_distance", "precision", "recall")


def main() -> None:
    """Train and evaluate what is not finished yet, and print the table."""
    from reproducible_ml.models.gan import GAN_TYPES

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--npz-file", help="MNIST; default: the bundled digits")
    parser.add_argument(
        "--classifier", required=True, help="folder of experiments.mnist_classifier"
    )
    parser.add_argument("--types", default=",".join([REAL, RECIPE, EXAMPLE, *GAN_TYPES]))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=SAMPLES, help="that are evaluated")
    parser.add_argument("--critic-updates", type=int, default=15_000)
    parser.add_argument("--compute-dtype", default="float32")
    parser.add_argument("--work", help="folder of data and models; default: a temporary one")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, help="put the table there, such as docs/benchmarks.md")
    parser.add_argument("--child", nargs=2, metavar=("TYPE", "SEED"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        name, seed = given.child
        print(json.dumps(train_and_judge(name, int(seed), given)))
        return
    with tempfile.TemporaryDirectory() as folder:
        given.work = given.work or folder
        _all(given)


def _all(given: argparse.Namespace) -> None:
    from benchmarks.training import serialize
    from reproducible_ml.models.evaluation import DESCRIPTION_FILE

    described = (Path(given.classifier) / DESCRIPTION_FILE).read_text(encoding="utf-8")
    classifier = json.loads(described)["digest"]
    data = Path(given.work) / "data"
    if not (data / "dataset.json").exists():
        serialize(data, given.npz_file)
    found = json.loads(given.json.read_text(encoding="utf-8")) if given.json.exists() else []
    for seed in range(1, given.seeds + 1):
        for name in given.types.split(","):
            key = {
                "type": name,
                "seed": seed,
                "critic_updates": given.critic_updates,
                "compute_dtype": given.compute_dtype,
                "protocol": PROTOCOL,
                "classifier": classifier,
                "samples": given.samples,
            }
            if any(key.items() <= one.items() for one in found):
                continue
            found.append({**key, **_in_a_process(name, seed, given)})
            given.json.parent.mkdir(parents=True, exist_ok=True)
            given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            print(f"{name}, seed {seed}: {found[-1]['figures']}", flush=True)
    print("\n" + table(found))
    if given.page:
        put_into(given.page, "benchmarks.quality", table(found))


def _in_a_process(name: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.quality", "--child", name, str(seed)]
    command += ["--classifier", given.classifier, "--samples", str(given.samples)]
    command += ["--npz-file", given.npz_file] if given.npz_file else []
    command += ["--work", given.work, "--critic-updates", str(given.critic_updates)]
    command += ["--compute-dtype", given.compute_dtype]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def train_and_judge(name: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """Train one GAN, draw samples and evaluate them.

    Returns:
        ``figures`` and what they are based on: ``samples``, their ``origin``, the number of
        ``references`` by split, and the ``classifier``'s digest.
    """
    from reproducible_ml.models.evaluation import (
        Classifier,
        figures_of,
        judge,
        judge_floor,
        split_labels,
        split_outputs,
    )
    from reproducible_ml.utils.seeds import drawn_rows

    data = Path(given.work) / "data"
    if name != REAL:
        # First, since training sets TensorFlow's threads, which the classifier starts.
        drawn, labels = _samples(name, data, seed, given)
    classifier = Classifier.load(given.classifier)
    test, train = (split_outputs(classifier, data, split) for split in ("test", "train"))
    compared = len(train.features)
    if name == REAL:
        rows = drawn_rows(compared, given.samples, seed)
        # Each leaves out itself.
        compared -= 1
        judged = judge_floor(train, rows, judge(test, test, train.features).test_distances)
        labels = split_labels(data, "train", "label")[rows]
        origin = f"train split, drawn with seed {seed}"
    else:
        judged = judge(classifier.outputs(drawn), test, train.features)
        origin = f"generator, latents of seed {seed}"
    return {
        "figures": figures_of(judged, test, labels),
        "samples": len(judged.outputs.features),
        "origin": origin,
        "references": {"test": len(test.features), "train": compared},
        "classifier": classifier.digest,
    }


def _samples(name: str, data: Path, seed: int, given: argparse.Namespace) -> tuple[Any, Any]:
    """Return samples of a trained GAN, and their labels, or None for a type without."""
    import numpy as np

    from reproducible_ml.utils.images import save_grid

    label = f"{name}-{seed}-{given.critic_updates}-{given.compute_dtype}-{given.samples}"
    kept = Path(given.work) / "samples" / f"{label}.npz"
    if not kept.exists():
        labels = None
        if name in (RECIPE, EXAMPLE):
            critic = _our_critic(seed) if name == RECIPE else _example_critic
            drawn = _recipe(critic, data, seed, given.critic_updates, given.samples)
        else:
            drawn, labels = _ours(name, data, Path(given.work) / label, seed, given)
        save_grid(drawn[:GRID], Path(given.work) / "grids" / f"{label}.png")
        kept.parent.mkdir(parents=True, exist_ok=True)
        with replacing(kept) as file:
            np.savez(file, images=drawn, **({} if labels is None else {"labels": labels}))
    with np.load(kept) as arrays:
        return arrays["images"], arrays.get("labels")


def _ours(name: str, data: Path, folder: Path, seed: int, given: argparse.Namespace) -> Any:
    from reproducible_ml.models.gan import Cadence, GANSettings, TrainedGAN, gan_type_row, train_gan

    steps = given.critic_updates // gan_type_row(name).practical.critic_steps
    settings = GANSettings(
        gan_type=name, noise_dims=NOISE_DIMS, seed=seed, compute_dtype=given.compute_dtype
    )
    cadence = Cadence(steps, grid_every_steps=steps, checkpoint_every_steps=500)
    train_gan(data, folder, settings, cadence)
    gan = TrainedGAN(folder, data)
    return gan.draw(given.samples, seed), gan.labels(given.samples) if gan.classes else None


def _recipe(critic: Any, data: Path, seed: int, steps: int, count: int) -> Any:
    """Train like TF-GAN's example for MNIST, with this project's generator, and draw samples."""
    import numpy as np
    import tensorflow as tf

    from reproducible_ml.input_fn import input_fn
    from reproducible_ml.models import generator_fn
    from reproducible_ml.models.gan import latents_of_batch, tfgan

    shape = (28, 28, 1)
    drawn: list[Any] = []

    class Draw(tf.estimator.SessionRunHook):
        def end(self, session: Any) -> None:
            while sum(map(len, drawn)) < count:
                drawn.append(session.run(samples, {number: len(drawn)}))

    with tf.Graph().as_default():
        tf.compat.v1.set_random_seed(seed)
        batches = input_fn(data, batch_size=BATCH_SIZE, noise_dims=NOISE_DIMS, seed=seed)()
        iterator = tf.compat.v1.data.make_initializable_iterator(batches)
        initializers = tf.compat.v1.GraphKeys.TABLE_INITIALIZERS
        tf.compat.v1.add_to_collection(initializers, iterator.initializer)
        noise, real = iterator.get_next()
        generator = generator_fn("wgan", shape, seed=seed)
        # TF-GAN's default losses are Wasserstein's, as in the example.
        model = tfgan.gan_model(generator, critic, real, noise)
        loss = tfgan.gan_loss(model, add_summaries=False)
        adam = tf.compat.v1.train.AdamOptimizer
        operations = tfgan.gan_train_ops(model, loss, adam(1e-3, 0.5), adam(1e-4, 0.5))
        number = tf.compat.v1.placeholder(tf.int64, [])
        with tf.compat.v1.variable_scope(model.generator_scope, reuse=True):
            latents = latents_of_batch(seed, number, NOISE_DIMS)
            samples = generator(latents, mode=tf.estimator.ModeKeys.PREDICT)
        tfgan.gan_train(
            operations,
            logdir=None,
            get_hooks_fn=tfgan.get_sequential_train_hooks(),
            hooks=[tf.estimator.StopAtStepHook(num_steps=steps), Draw()],
            save_checkpoint_secs=None,
            save_summaries_steps=None,
        )
    return np.concatenate(drawn)[:count]


def _our_critic(seed: int) -> Any:
    """Make our critic with TF-GAN's spectral normalization, as the example's critic has."""
    from reproducible_ml.models import critic_fn

    plain = critic_fn("wgan", (28, 28, 1), seed=seed)

    def critic(images: Any, conditioning: Any) -> Any:
        with _spectral_scope("weights"):
            return plain(images, conditioning)

    return critic


def _spectral_scope(ending: str) -> Any:
    import tensorflow as tf

    from reproducible_ml.models.gan import tfgan

    normalized = tfgan.features.spectral_normalization_custom_getter(
        name_filter=lambda name: name.endswith(ending), training=True
    )
    return tf.compat.v1.variable_scope("normalized", custom_getter=normalized)


def _example_critic(images: Any, conditioning: Any) -> Any:
    """Evaluate images with the network of TF-GAN's example."""
    import tensorflow as tf

    del conditioning
    layers, leaky_relu = tf.compat.v1.layers, tf.nn.leaky_relu
    with _spectral_scope("kernel"):
        layer = images
        for width in (64, 128):
            layer = layers.conv2d(layer, width, 4, 2, padding="same")
            layer = leaky_relu(layer, 0.01)
        layer = layers.dense(layers.flatten(layer), 1024, use_bias=False)
        layer = layers.batch_normalization(layer, momentum=0.999, training=True)
        layer = leaky_relu(layer, 0.01)
    return layers.dense(layer, 1)


def table(found: Sequence[dict[str, Any]]) -> str:
    """Return mean and standard deviation over the seeds of each type and budget as Markdown.

    Real digits, the floor, come first. Each line names its classifier.
    """
    lines = [
        "| type | updates | seeds | "
        + " | ".join(name.replace("_", " ") for name in SHOWN)
        + " | label | classifier |",
        "| --- | --- | --- |" + " --- |" * (len(SHOWN) + 2),
    ]
    groups: dict[tuple[int, str, str, int], list[dict[str, Any]]] = {}
    for one in sorted(found, key=lambda one: (one["type"] != REAL, one["critic_updates"])):
        key = (one["critic_updates"], one["type"], one["classifier"], one["protocol"])
        groups.setdefault(key, []).append(one)
    for (updates, name, classifier, _), members in groups.items():
        cells = [_spread([one["figures"][figure] for one in members]) for figure in SHOWN]
        agreed = [one["figures"].get("label_agreement") for one in members]
        cells.append("" if None in agreed else f"{100 * statistics.mean(agreed):.1f}%")
        cells.append(classifier[:SHORT_DIGEST])
        budget = "" if name == REAL else f"{updates:,}"
        lines.append(f"| {name} | {budget} | {len(members)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    mean = f"{statistics.mean(values):.3g}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.2g}"


if __name__ == "__main__":
    main()
