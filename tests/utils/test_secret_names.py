"""Which names of variables and configuration keys hold a secret: one list for both."""

import pytest

from reproducible_ml.utils.environment import result_variables
from reproducible_ml.utils.redaction import HIDDEN, without_secrets


@pytest.mark.parametrize(
    "name",
    ["TOKEN", "HF_TOKENS", "MYTOKEN", "API_KEY", "ACCESS_KEY_2", "DB_PASSWORD", "PWD", "AUTH"],
)
def test_a_secret_is_hidden_in_variables_and_in_keys_alike(name):
    assert result_variables({f"XLA_{name}": "geheimnis"}) == {f"XLA_{name}": HIDDEN}
    assert without_secrets({name.lower(): "geheimnis"}) == {name.lower(): HIDDEN}


@pytest.mark.parametrize("name", ["TOKENIZER", "AUTHOR", "BYPASS", "COMPASS", "KEYBOARD"])
def test_what_only_looks_like_a_secret_is_shown(name):
    assert result_variables({f"XLA_{name}": "plain"}) == {f"XLA_{name}": "plain"}
    assert without_secrets({name.lower(): "plain"}) == {name.lower(): "plain"}
