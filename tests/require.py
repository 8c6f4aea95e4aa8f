"""What a test needs of the machine, and when its absence is a failure.

``REPRODUCIBLE_ML_REQUIRE=mongo,browser,beam,optuna`` names the parts that this machine must have: a
test that lacks one of them fails there instead of being skipped.
"""

import os

import pytest

VARIABLE = "REPRODUCIBLE_ML_REQUIRE"
PARTS = ("mongo", "browser", "beam", "optuna")


def required(part):
    """Tell whether this machine must have the part; a name that no test knows is an error."""
    names = {name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()}
    for name in sorted(names | {part}):
        if name not in PARTS:
            raise ValueError(f"{VARIABLE}: unknown part {name!r}; the parts are {', '.join(PARTS)}")
    return part in names


def skip_or_fail(part, reason):
    """Skip the running test for this reason, or fail it where the part is required."""
    if required(part):
        pytest.fail(f"{VARIABLE} requires {part}, but: {reason}", pytrace=False)
    pytest.skip(reason)
