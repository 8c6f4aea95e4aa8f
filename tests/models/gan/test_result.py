"""The file of a training's result: read as written, or refused by name, never passed over."""

import json

import pytest

from reproducible_ml.models.gan import result_digests
from reproducible_ml.utils.errors import DataError

DIGESTS = {"weights": "1", "losses": "2", "samples": "3", "run": "4"}


def test_the_digests_of_the_step_that_a_training_ended_at(tmp_path):
    assert result_digests(tmp_path, 5) is None
    whole = {"step": 5, "digests": DIGESTS, "tensors": {}}
    (tmp_path / "result.json").write_text(json.dumps(whole), encoding="utf-8")
    assert result_digests(tmp_path, 5) == DIGESTS
    assert result_digests(tmp_path, 4) is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"step": 5}', '{"step": 5, "digests": []}',
     '{"step": 5, "digests": {"weights": "1"}}', "\ud800"],
)  # fmt: skip
def test_a_damaged_result_is_named(tmp_path, text):
    (tmp_path / "result.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(DataError, match=r"result\.json can't be read as the result of a training"):
        result_digests(tmp_path, 5)
