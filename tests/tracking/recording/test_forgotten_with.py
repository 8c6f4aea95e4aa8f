"""A setting without ``with`` is told with the command that was meant."""

import pytest

from tests.tracking import lab


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return lab.make_project(tmp_path_factory.mktemp("forgotten"))


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["quick"], "with quick"),
        (["quick", "lr=0.25"], "with quick lr=0.25"),
        (["lr=0.25", "-F", "kept", "-u"], "-F kept -u with lr=0.25"),
        (["--file_storage", "quick", "name=a b"], "--file_storage quick with 'name=a b'"),
        (["quick", "with", "lr=0.25"], "with quick lr=0.25"),
    ],
)
def test_settings_without_with_are_told_with_the_command_that_was_meant(project, words, meant):
    code, output = lab.run(project, "lab.train", *words)
    assert code == 1
    assert output == f'Error: settings go after "with": python -m lab.train {meant}\n'


def test_a_command_that_there_is_none_of_is_still_sacreds_to_tell(project):
    code, output = lab.run(project, "lab.train", "tarin")
    assert code == 1
    assert 'Command "tarin" not found' in output
    code, output = lab.run(project, "lab.train", "print_config", "with", "quick", "-u")
    assert code == 0
    assert "steps = 1" in output
