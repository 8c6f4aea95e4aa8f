"""A warm process is what a real one is, but for the modules that it has imported."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests import warm

SEES = """
import atexit, json, os, sys
atexit.register(print, "the end")
seen = [sys.argv[1:], __name__, os.getcwd(), sorted(os.environ.items()), sys.path[:2]]
print(json.dumps(seen), file=sys.stderr)
print("output")
sys.exit(int(sys.argv[1]))
"""


def real(*arguments, cwd, environment):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("code", ["0", "3"])
@pytest.mark.parametrize("start", [["-m", "module"], ["-c", SEES]], ids=["module", "program"])
def test_it_sees_what_a_real_process_sees_and_ends_as_it_does(tmp_path, start, code):
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "module.py").write_text(SEES)
    folder = tmp_path / "here"
    folder.mkdir()
    environment = {
        **{"PYTHONPATH": str(tmp_path / "packages"), "PATH": os.environ["PATH"], "ONLY": "this"},
        # What Python sets by itself where no language is set.
        "LC_CTYPE": "C.UTF-8",
    }
    seen, expected = (
        run(*start, code, "words of it", cwd=folder, environment=environment)
        for run in (warm.run, real)
    )
    assert (seen.returncode, seen.stdout) == (int(code), "output\nthe end\n")
    found, wanted = (one.stderr.replace('"", ', f'"{folder}", ') for one in (seen, expected))
    assert found == wanted
    assert (seen.returncode, seen.stdout) == (expected.returncode, expected.stdout)


def test_an_error_is_told_as_a_real_process_tells_it(tmp_path):
    done = warm.run("-c", "raise ValueError('too hot')", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: too hot\n")


def test_it_can_be_killed_and_what_it_printed_is_there():
    started = warm.Python("-c", "import time; print('begun', flush=True); time.sleep(60)")
    output = started.files[0]
    while not output.exists() or output.read_text() != "begun\n":
        time.sleep(0.01)
    started.send_signal(signal.SIGKILL)
    assert started.communicate()[0] == "begun\n"
    assert started.returncode == -signal.SIGKILL


def test_a_process_that_does_not_end_in_time_is_an_error():
    started = warm.Python("-c", "import time; time.sleep(60)")
    with pytest.raises(subprocess.TimeoutExpired):
        started.communicate(timeout=0.1)
    started.send_signal(signal.SIGKILL)
    started.communicate()


def test_each_has_modules_of_its_own_but_for_the_imported_ones():
    names = ["tensorflow", "experiments", "tests"]
    program = f"import sys; print([name in sys.modules for name in {names}])"
    assert warm.run("-c", program).stdout == "[True, False, False]\n"
