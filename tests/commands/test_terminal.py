"""Recorded text controls no terminal: OSC 52 would write the clipboard of who looks at a run."""

import json
import shutil

import pytest
from click.testing import CliRunner

from reproducible_ml.cli import main
from tests.tracking import lab

HOSTILE = "so\x1b]52;c;aGk=\x07\x9b2J\u202efar\r\n\x7f"
OBEYED = set("\x1b\x07\x9b\u202e\r\x7f\x00")
# The record that says something else, and where.
ENTRIES = [
    ("run.json", ("result",)),
    ("run.json", ("experiment", "name")),
    ("run.json", ("meta", "options", "comment")),
    ("run.json", ("meta", "comment")),
    ("run.json", ("host", "hostname")),
    ("run.json", ("fail_trace",)),
    ("config.json", ("name",)),
    ("config.json", (HOSTILE,)),
    ("info.json", ("digest", HOSTILE)),
    ("info.json", ("environment", "cpu", "model")),
    ("info.json", ("dataset", "records", "record_dir")),
    ("info.json", ("determinism", HOSTILE)),
    ("info.json", ("model_dir",)),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs 1 to 3, the first of which says hostile text everywhere."""
    recorded = lab.recorded(tmp_path_factory).parent / "runs"
    folder = tmp_path_factory.mktemp("hostile") / "runs"
    shutil.copytree(recorded, folder)
    # The journal would say what was.
    (folder / "1" / "journal.log").unlink()
    for file, keys in ENTRIES:
        path = folder / "1" / file
        content = json.loads(path.read_text())
        place = content
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = [HOSTILE] if keys == ("fail_trace",) else HOSTILE
        path.write_text(json.dumps(content))
    path = folder / "1" / "metrics.json"
    metrics = json.loads(path.read_text())
    path.write_text(json.dumps({**metrics, HOSTILE: metrics["loss"]}))
    (folder / "1" / "cout.txt").write_text(HOSTILE)
    return folder


@pytest.mark.parametrize(
    ("words", "visible"),
    [
        (["runs"], "far"),
        (["runs", "--json"], "\\u001b]52"),
        (["show", "1"], "far"),
        (["show", "--json", "1"], "\\u001b]52"),
        (["compare", "1", "3"], "far"),
        (["compare", "1", "3", "--diff"], "far"),
        (["reproduce", "1", "--allow-altered"], "\\x1b]52"),
        (["report", "1", "3", "-o", "\x1b]52;c;aGk=\x07.html"], "\\x1b]52"),
        (["sync"], ""),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_nothing_recorded_is_obeyed(runs, tmp_path, monkeypatch, words, visible):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, [*words, "-F", str(runs)])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert not OBEYED & set(done.output), ascii(done.output[:200])
    assert visible in done.output, done.output[-500:]
