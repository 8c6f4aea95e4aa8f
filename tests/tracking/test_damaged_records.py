"""Records with random damage: every command and page answers, and every sound run is shown."""

import copy
import itertools
import json
import logging
import shutil
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from reproducible_ml import cli
from reproducible_ml.tracking.board.present import metric_id
from reproducible_ml.tracking.board.server import create_app
from reproducible_ml.tracking.folder.journal import check, encode
from reproducible_ml.tracking.runs import list_runs, open_store

# One example damages this many runs, which lie beside sound ones.
RUNS_AT_ONCE = 20
FILES = ("run.json", "config.json", "info.json", "metrics.json", "journal.log", "delivery.json")
SOUND = ("1", "999")
NEVER = "not-this-machine"
# By which an example's list on the board is sorted and filtered.
COLUMNS = ("_id", "start_time", "heartbeat", "result", "experiment.name", "hostname")
FIELDS = ("config.lr", "result.step", "heartbeat", "status")

DEEP = json.loads("[" * 300 + "]" * 300)
ODD = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**70,
        -(2**40),
        10**400,
        1.5,
        float("nan"),
        float("inf"),
        -1e308,
    ),
    *("", "x", "²", "\ud800", "\0", "\x1b]52;c;aGk=\x07", "\u202e", "../../etc/passwd"),
    *("2026-01-01T00:00:00+05:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "now"),
    *([], {}, [[]], [None], [{}], {"": {}}, {"a": None}, {"py/tuple": 3}, {"py/tuple": []}, DEEP),
    *({"py/object": "numpy.float64", "value": 1.0}, {"py/object": 3}, ["a", "b"], [["a", "b"]]),
    *("RUNNING", "QUEUED", "COMPLETED", [1, "a", None], {"name": None}, [["a", 1, 2]]),
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.sampled_from(ODD) | st.recursive(
    SCALARS,
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=3), one, max_size=3),
    max_leaves=6,
)
PATHS = st.lists(st.integers(0, 30), min_size=1, max_size=6)
BYTES = st.tuples(st.just("bytes"), st.floats(0, 1), st.binary(max_size=6))
DAMAGE = st.one_of(
    st.tuples(st.just("value"), PATHS, VALUES),
    st.tuples(st.just("value"), PATHS, VALUES),
    st.tuples(st.just("remove"), PATHS, st.none()),
    st.tuples(st.just("cut"), st.floats(0, 1), st.none()),
    BYTES,
)
CASES = st.lists(
    st.tuples(st.sampled_from(FILES), DAMAGE), min_size=RUNS_AT_ONCE, max_size=RUNS_AT_ONCE
)

RECORD = """
from PIL import Image
from reproducible_ml.tracking import experiment

ex = experiment("toy")

@ex.config
def config():
    seed = 1
    lr = 0.5
    model = {"kind": "gan", "layers": [1, 2]}

@ex.main
def main(_run, _seed):
    print("training")
    for step in range(1, 6):
        _run.log_scalar("loss", 1.0 / step, step)
        _run.log_scalar("name/acc", step, step)
    Image.new("L", (2, 2)).save("picture-1.png")
    _run.add_artifact("picture-1.png")
    record_dir = {"record_dir": "data", "fingerprint": "f" * 64, "records": {"train": 3},
                  "source": {"name": "digits", "arguments": {"size": 8}}}
    _run.info["dataset"] = {"records": record_dir}
    _run.info["upstream"] = [{"run_id": 999, "stage": "serialize"}]
    _run.info["digest"] = {"weights": "a" * 64}
    _run.info["settings"] = {"lr": 0.25}
    _run.info["checkpoint"] = {"path": "m/model.ckpt-5", "step": 5,
                               "files": {"a": {"bytes": 3, "sha256": "b" * 64}}}
    _run.info["determinism"] = {"seed": 1, "probe": "c"}
    _run.info["model_dir"] = "models"
    _run.info["verdicts"] = [
        {"verdict": "identical", "time": "2026-01-01T00:00:00", "across": ["cpu"],
         "reproduced_by": 7, "changes": {}},
        {"verdict": "identical", "reproduced_from": {"run_id": 3}},
    ]
    return {"step": 5, "digest": "d" * 64}

ex.run(options={"--file_storage": "runs"})
"""


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """The files of a recorded run of another machine; ``_sources`` lies beside them."""
    from tests import warm

    folder = tmp_path_factory.mktemp("record")
    (folder / "toy.py").write_text(RECORD)
    done = warm.run("-m", "toy", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    path = folder / "runs" / "1" / "run.json"
    entry = json.loads(path.read_text())
    entry["host"]["hostname"] = NEVER
    # As many source files as the journal lists cost the most of the time.
    del entry["experiment"]["sources"][3:]
    journal = folder / "runs" / "1" / "journal.log"
    first, *others = journal.read_bytes().splitlines(keepends=True)
    start = json.loads(check(first)[1])
    del start["experiment"]["sources"][3:]
    start["host"]["hostname"] = NEVER
    journal.write_bytes(line_of(1, start) + b"".join(others))
    path.write_text(json.dumps(entry))
    return folder / "runs"


def damaged(content, name, damage):
    """Return the bytes of a file with one damage."""
    kind, where, what = damage
    if kind == "cut":
        return content[: int(where * len(content))]
    if kind == "bytes":
        start = int(where * len(content))
        return content[:start] + what + content[start + len(what) :]
    if name == "journal.log":
        return damaged_journal(content, where, kind, what)
    tree = json.loads(content)
    return json.dumps(changed(tree, where, kind, what)).encode()


def damaged_journal(content, where, kind, what):
    """Return a journal, an event of which is changed and has the right checksum."""
    lines = content.splitlines(keepends=True)
    index = where[0] % len(lines)
    number, text = check(lines[index])
    event = json.loads(text)
    changed(event, where[1:] or [0], kind, what)
    lines[index] = line_of(number, event)
    return b"".join(lines)


def line_of(number, event):
    """Return a line of a journal that has the right checksum, whatever it says."""
    return encode(number, SimpleNamespace(as_json=lambda: event))


def changed(tree, where, kind, what):
    """Walk along the numbers, and replace or remove the value that they lead to."""
    place = tree
    for number in where[:-1]:
        inner = list(place.values()) if isinstance(place, dict) else place
        if not inner or not isinstance(inner[number % len(inner)], (dict, list)):
            break
        if not inner[number % len(inner)]:
            break
        place = inner[number % len(inner)]
    if not place:
        return what
    keys = list(place) if isinstance(place, dict) else range(len(place))
    key = keys[where[-1] % len(keys)]
    if where == [0] and kind == "value":
        return what
    if kind == "remove":
        del place[key]
    else:
        place[key] = copy.deepcopy(what)
    return tree


def lay_out(record, folder, cases):
    """Write a folder of runs: sound ones, and one for each case."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for shared in ("_sources", "_resources"):
        if (record / shared).exists():
            (folder / shared).symlink_to(record / shared)
    files = {path.name: path.read_bytes() for path in (record / "1").iterdir()}
    files["delivery.json"] = b'{"uid": "u", "targets": {}}'
    names = []
    for index, (name, damage) in enumerate(cases):
        names.append(str(index + 2))
        write(folder / names[-1], {**files, name: damaged(files[name], name, damage)})
    for sound in SOUND:
        write(folder / sound, files)
    return names


def write(folder, files):
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


class Loud(logging.Handler):
    """Keeps the log's errors: an unexpected exception that a page turned into an answer."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.found = []

    def emit(self, record):
        self.found.append(record.getMessage() + "\n" + str(record.exc_info))


def command(*arguments, codes=(0, 1, 2)):
    """Run a command in this process; it must end with an answer."""
    done = CliRunner().invoke(cli.main, list(arguments))
    what = f"{arguments}: {done.output[-300:]}"
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise AssertionError(what) from done.exception
    assert "Traceback" not in done.output, what
    assert done.exit_code in codes, what
    # Nothing that a terminal would obey.
    assert not set(done.output) & {"\x1b", "\x07", "\x00", "\u202e"}, what
    return done.output


def answers(client, path, **options):
    found = client.get(path, **options)
    assert found.status_code in (200, 302, 400, 404, 500), path
    if found.status_code == 500:
        assert found.is_json, path
    return found


def look(folder, names, turn):
    """Use every command, page and table on a folder of runs.

    Args:
        folder: The folder.
        names: Its damaged runs.
        turn: Which of the commands for one run the first of them meets.
    """
    where = ["-F", str(folder)]
    listed = command("runs", *where, codes=[0])
    assert sum("toy" in line and "COMPLETED" in line for line in listed.splitlines()) >= len(SOUND)
    found = {
        str(run["id"]): run for run in json.loads(command("runs", "--json", *where, codes=[0]))
    }
    assert {*SOUND, *names} == set(found)
    for sound in SOUND:
        assert found[sound]["config"]["lr"] == 0.5
        assert found[sound]["last_step"] == 5
    command("runs", "--filter", "lr=0.5", *where, codes=[0])
    with open_store(folder) as store:
        table = list_runs(store, metrics=False)
        assert {str(one) for one in table.index} == set(found)
        pages(store, [*names, *SOUND], turn)
    # Each run meets one of the commands, and each command every fifth run.
    commands = [
        ["show"],
        ["show", "--json"],
        ["compare", "--diff", "1"],
        ["report", "1", "-o", str(folder / "report.html")],
        ["reproduce"],
    ]
    for index, name in enumerate(names):
        words = commands[(index + turn) % len(commands)]
        done = command(*words, name, *where, codes=[1, 2] if words == ["reproduce"] else [0, 1, 2])
        assert "Executing" not in done
    for sound in SOUND:
        assert "seed" in command("show", sound, *where, codes=[0])
    command("sync", *where)


def pages(store, names, turn):
    app = create_app(store, "runs")
    loud = Loud()
    app.logger.addHandler(loud)
    app.testing = True
    client = app.test_client()
    column = COLUMNS[turn % len(COLUMNS)]
    order = {"order[0][column]": "0", "columns[0][name]": column, "order[0][dir]": "desc"}
    rows = answers(client, "/api/run", query_string=order).get_json()["data"]
    assert {row["id"] for row in rows} == set(names)
    field = FIELDS[turn % len(FIELDS)]
    value = "2026-01-01" if field == "heartbeat" else "RUNNING"
    clause = {"field": field, "operator": "!=", "value": value}
    query = json.dumps({"type": "and", "filters": [clause]})
    assert answers(client, "/api/run", query_string={"queryFilter": query}).status_code == 200
    parts = ["", f"metric/{metric_id('loss')}", "output", "artifact/0/picture-1.png"]
    for index, name in enumerate(names):
        assert answers(client, f"/api/run/{name}").status_code == 200
        part = parts[(index + turn) % len(parts)]
        answers(client, f"/api/run/{name}/{part}" if part else f"/runs/{name}")
    assert not loud.found, loud.found[0]


def search(record, folder, examples):
    """Damage 20 runs in each of so many examples."""

    turns = itertools.count()

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        print_blob=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(CASES)
    def damage(cases):
        look(folder, lay_out(record, folder, cases), next(turns))

    damage()


def test_no_damage_of_a_file_hides_a_sound_run_or_ends_in_a_traceback(record, tmp_path):
    search(record, tmp_path / "runs", 160 // RUNS_AT_ONCE)


@pytest.mark.slow
def test_two_thousand_damaged_records_hide_no_sound_run(record, tmp_path):
    search(record, tmp_path / "runs", 2000 // RUNS_AT_ONCE)
