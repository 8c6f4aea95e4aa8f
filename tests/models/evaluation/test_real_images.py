"""A part of some images stands for all of them, in whatever order they were written."""

import hashlib

import numpy as np
import pytest

from reproducible_ml.models.evaluation import figures_of, judge, judge_floor
from reproducible_ml.models.evaluation.classifier import FEATURES, Outputs
from reproducible_ml.models.evaluation.figures import RealOutputs
from reproducible_ml.models.evaluation.formulas import batchwise_figures
from reproducible_ml.models.evaluation.real_images import classes_in_turn
from reproducible_ml.utils.seeds import drawn_rows

CLASSES, N = 10, 1000


def by_hand(records, count, seed):
    """Draw rows as documented: NumPy's RandomState, seeded by a hash of the root seed."""
    words = hashlib.sha256(f"{seed}/rows".encode()).digest()
    state = np.random.RandomState(int.from_bytes(words[:4], "little") % 2**31)
    return sorted(state.permutation(records)[:count].tolist())


# --- the draw


@pytest.mark.parametrize(("records", "count", "seed"), [(10, 4, 0), (55_000, 300, 1), (7, 7, 2)])
def test_rows_are_drawn_as_documented(records, count, seed):
    found = drawn_rows(records, count, seed)
    assert found.tolist() == by_hand(records, count, seed)
    assert len(set(found.tolist())) == count


def test_the_drawn_rows_are_golden():
    # Other rows would change every recorded floor.
    assert drawn_rows(1000, 5, 1).tolist() == [166, 390, 515, 680, 983]


def test_all_rows_are_taken_if_there_are_no_more():
    assert drawn_rows(3, 10, 1).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(lambda rows: rows % 2 == 0, id="parity"),
        pytest.param(lambda rows: rows % 5 == 0, id="stride"),
        pytest.param(lambda rows: rows < 300, id="first"),
        pytest.param(lambda rows: rows >= 917, id="last"),
    ],
)
def test_no_part_of_the_rows_is_preferred(part):
    share = part(np.arange(1000)).mean()
    found = np.mean([part(drawn_rows(1000, 200, seed)).mean() for seed in range(200)])
    # Of a draw without replacement; five standard errors.
    error = np.sqrt(share * (1 - share) / 200 * (1 - 0.2) / 200)
    assert found == pytest.approx(share, abs=5 * error)


def test_classes_take_turns_or_are_drawn_where_they_are_too_many():
    assert classes_in_turn(7, 3).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert classes_in_turn(3, 1000).tolist() == by_hand(1000, 3, 0)


# --- the floor of outputs in any order


def images(random, count):
    """Outputs for images of ten classes, half of them of a second source, and both."""
    kinds, sources = random.integers(0, CLASSES, count), random.integers(0, 2, count)
    centres = np.random.default_rng(3).normal(size=(CLASSES + 1, FEATURES))
    features = centres[kinds] * 2 + sources[:, None] * centres[-1]
    features = (features + random.normal(size=features.shape)).astype(np.float32)
    logits = 5 * np.eye(CLASSES, dtype=np.float32)[kinds]
    logits += random.normal(size=logits.shape).astype(np.float32)
    return Outputs(features, logits), kinds, sources


def alternating(kinds, sources):
    """Return an order in which a row of one source is followed by one of the other."""
    first, second = (np.flatnonzero(sources == one) for one in (0, 1))
    size = min(len(first), len(second))
    pairs = np.stack([first[:size], second[:size]], axis=1).ravel()
    return np.concatenate([pairs, first[size:], second[size:]])


ORDERS = {
    "sorted by class": lambda kinds, sources: np.argsort(kinds, kind="stable"),
    "sorted by source": lambda kinds, sources: np.argsort(sources, kind="stable"),
    "sources in turn": alternating,
}


def in_order(outputs, order):
    return Outputs(*(part[order] for part in outputs))


def floor(seen, test, rows):
    distances = judge(test, test, seen.features).test_distances
    return figures_of(judge_floor(seen, rows, distances), test)


@pytest.fixture(scope="module")
def random_floors():
    """Train and test images without any order, and the floors of three draws."""
    random = np.random.default_rng(11)
    seen, kinds, sources = images(random, 3 * N)
    test, test_kinds, test_sources = images(random, N)
    floors = [floor(seen, test, random.permutation(3 * N)[:N]) for _ in range(3)]
    return (seen, kinds, sources), (test, test_kinds, test_sources), floors


@pytest.mark.parametrize("name", ORDERS)
def test_the_floor_of_ordered_data_is_that_of_shuffled_data(random_floors, name):
    (seen, *how), (test, *test_how), floors = random_floors
    order, test_order = ORDERS[name](*how), ORDERS[name](*test_how)
    ordered, ordered_test = in_order(seen, order), in_order(test, test_order)
    found = floor(ordered, ordered_test, drawn_rows(3 * N, N, seed=1))
    for figure, value in found.items():
        values = [one[figure] for one in floors]
        noise = max(4 * (max(values) - min(values)), 0.03 * abs(np.mean(values)), 0.005)
        assert value == pytest.approx(np.mean(values), abs=noise), figure

    # Every second row, or the first ones, are told from the others at once.
    part = np.arange(N) * 2 if name == "sources in turn" else np.arange(N)
    wrong = floor(ordered, ordered_test, part)["frechet_distance"]
    assert wrong > 2 * max(one["frechet_distance"] for one in floors)


def test_figures_of_batches_do_not_depend_on_the_order(random_floors):
    _, (test, kinds, _), floors = random_floors
    by_class = in_order(test, np.argsort(kinds, kind="stable"))
    judged = judge(by_class, by_class, by_class.features)
    found = figures_of(judged, by_class)
    score, distance = "classifier_score_batches_of_32", "frechet_distance_batches_of_32"
    assert found[score] == pytest.approx(floors[0][score], rel=0.05)
    # A set against itself: in the same order it would be 0.
    assert found[distance] == pytest.approx(floors[0][distance], rel=0.1)
    written = batchwise_figures(by_class.logits, by_class.logits)
    assert written.classifier_score < 0.5 * found[score]
    assert written.frechet_distance == pytest.approx(0, abs=1e-9)


def test_an_image_of_the_floor_is_compared_with_all_others_but_itself(random_floors):
    (seen, *_), _, _ = random_floors
    few = in_order(seen, np.arange(400))
    rows = drawn_rows(400, 300, seed=2)
    judged = judge_floor(few, rows, [1.0])
    x = few.features.astype(float)
    squared = ((x[rows][:, None] - x[None]) ** 2).sum(-1)
    squared[np.arange(300), rows] = np.inf
    np.testing.assert_array_equal(judged.neighbours.indices, squared.argmin(1))
    np.testing.assert_allclose(judged.neighbours.distances, np.sqrt(squared.min(1)), rtol=1e-12)
    np.testing.assert_array_equal(judged.outputs.logits, seen.logits[rows])


def test_real_images_with_which_two_sets_are_compared_give_each_the_same_bits(random_floors):
    (seen, *_), (test, *_), _ = random_floors
    real = RealOutputs.of(test)
    for rows in (np.arange(300), np.arange(500, 900)):
        judged = judge(in_order(seen, rows), test, seen.features)
        assert figures_of(judged, real) == figures_of(judged, test)
