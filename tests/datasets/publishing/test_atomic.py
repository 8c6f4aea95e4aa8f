"""A writer that is killed leaves the old data set or none, and its leftovers go at the next start.

The kill comes at a random moment during a writing or after it.
"""

import pytest

from tests.datasets.killing import check_kills
from tests.datasets.small_data import rows_of, tree, write

IMPORTS = "import tensorflow; from tests.datasets.small_data import write"


def check(tmp_path, rounds, workers):
    call = (
        'write("data", SIZES, samples_per_record=3, rows_gen=arrays, overwrite=overwrite, '
        f"workers={workers})"
    )
    return check_kills(tmp_path, rounds, IMPORTS, call)


@pytest.mark.parametrize(("workers", "rounds"), [(1, 10), (4, 3)])
def test_a_killed_writer_leaves_the_old_data_set_or_none(workers, rounds, tmp_path):
    check(tmp_path, rounds, workers)


@pytest.mark.slow
@pytest.mark.timeout(600)
# With four workers, each a fresh Python, a round takes several seconds. What is put in place, and
# when, is decided by the process that started them, as with one.
@pytest.mark.parametrize(("workers", "rounds"), [(1, 20), (4, 6)])
def test_a_writer_killed_at_many_moments_leaves_the_old_data_set_or_none(workers, rounds, tmp_path):
    outcomes = check(tmp_path, rounds, workers)
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
