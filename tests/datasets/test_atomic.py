"""A writer that is killed leaves the old data set or none, and its leftovers go at the next start.

The kill comes at a random moment during a writing or shortly after it.
"""

import pytest

from tests.datasets.killing import check_kills
from tests.datasets.writing import rows_of, tree, write

IMPORTS = "import tensorflow; from tests.datasets.writing import write"
# By number of workers: up to when a kill comes, about what one such writing takes.
LONGEST_SECONDS = {1: 0.05, 4: 2.5}


def check(tmp_path, rounds, workers):
    call = (
        'write("data", SIZES, samples_per_record=3, rows_gen=arrays, overwrite=overwrite, '
        f"workers={workers})"
    )
    return check_kills(tmp_path, rounds, LONGEST_SECONDS[workers], IMPORTS, call)


@pytest.mark.parametrize(("workers", "rounds"), [(1, 10), (4, 3)])
def test_a_killed_writer_leaves_the_old_data_set_or_none(workers, rounds, tmp_path):
    check(tmp_path, range(rounds), workers)


@pytest.mark.slow
# With four workers a round takes several seconds: each worker is a fresh Python.
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("workers", [1, 4])
def test_a_writer_killed_at_fifty_moments_leaves_the_old_data_set_or_none(workers, tmp_path):
    outcomes = check(tmp_path, range(100, 150), workers)
    # Otherwise the kills came all too early or all too late to tell anything.
    assert outcomes == {"old", "new"}


def test_the_old_data_set_stays_when_rows_run_out(tmp_path):
    write(tmp_path / "data", {"train": 7})
    before = tree(tmp_path)

    def too_few(split):
        return rows_of({split: 5})(split)

    with pytest.raises(Exception, match="yields only"):
        write(tmp_path / "data", {"train": 9}, rows_gen=too_few, overwrite=True)
    assert tree(tmp_path) == before
