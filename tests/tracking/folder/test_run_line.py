"""The line by which a run tells its id to whoever started it."""

import pytest

from reproducible_ml.tracking.folder.layout import told_run


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (
            "Run 7: /somewhere/runs/7\nLook at it: board -F /somewhere/runs\n",
            ("7", "/somewhere/runs/7"),
        ),
        ("Run night-3.b: my runs/night-3.b", ("night-3.b", "my runs/night-3.b")),
        # A stage within the run prints its own line before.
        ("Run 1: runs/1\nstep 3\nRun 2: runs/2\n", ("2", "runs/2")),
        ("INFO - Run 1: runs/1\nRun 12 is here\nRunning 1: 2\n", None),
        ("", None),
    ],
)
def test_the_last_line_that_tells_a_run_is_found_among_all_others(output, told):
    assert told_run(output) == told
