"""An id that no run has is one short sentence in every command that takes one, whatever it is."""

import pytest
from click.testing import CliRunner

from reproducible_ml.cli import main
from tests.tracking import lab

ODD = ["9" * 5000, "x" * 5000, "²", "../1", "1/../1", "loop", "0", "\x1b]52;c;aGk=\x07"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = lab.recorded(tmp_path_factory).parent
    loop = folder / "loop"
    if not loop.is_symlink():
        loop.symlink_to(loop)
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ["show", "{}"],
        ["compare", "1", "{}"],
        ["compare", "{}", "1"],
        ["reproduce", "{}"],
        ["report", "{}"],
        ["export", "{}"],
        ["copy", "{}", "elsewhere"],
        ["verify", "{}"],
        ["runs", "-F", "{}"],
        ["show", "1", "-F", "{}"],
    ],
    ids=" ".join,
)
def test_an_odd_id_is_one_short_sentence(folder, monkeypatch, command):
    monkeypatch.chdir(folder)
    for odd in ODD:
        done = CliRunner().invoke(main, [word.replace("{}", odd) for word in command])
        said = done.stderr.strip()
        assert done.exit_code in (1, 2), (odd[:9], done.output[:300])
        assert done.exception is None or isinstance(done.exception, SystemExit), odd[:9]
        assert said.startswith("Error: "), said[:300]
        assert said.count("\n") == 0
        assert len(said) < 400, (odd[:9], said[:500])
        assert "\x1b" not in said
