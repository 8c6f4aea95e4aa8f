"""The journal: whole after any kill, locked while its process lives, exact about damage."""

import json
import math
import subprocess
import sys
import zlib

import pytest

from reproducible_ml.tracking.folder.events import Beat, Ended, InfoChanged, Metrics, Unknown
from reproducible_ml.tracking.folder.journal import (
    Journal,
    JournalLocked,
    JournalReader,
    encode,
)
from reproducible_ml.utils.errors import TrackingError

EVENTS = [
    InfoChanged({"text": "äöü \ud800 \n"}),
    Metrics("loss", [1, 2, 3], [math.inf, 0.1, -0.0], [7, 8, 9]),
    Ended("COMPLETED", "2024-05-06T07:08:09.000000", {"a.b": ["$c", None, True]}),
]
MORE = Beat("2024-05-06T07:08:10.000000", 5, None)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "journal.log"
    journal = Journal(path)
    for event in EVENTS:
        journal.append(event)
    journal.close()
    return path


def read(path):
    return [entry.event for entry in JournalReader(path).read_all()]


def test_what_was_appended_is_read_in_order(path):
    assert read(path) == EVENTS
    assert [entry.sequence for entry in JournalReader(path).read_all()] == [1, 2, 3]


def test_a_line_is_its_checksum_its_number_and_json(path):
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        checksum, _, rest = line.partition(b" ")
        assert int(checksum, 16) == zlib.crc32(rest)
        sequence, _, text = rest.partition(b" ")
        assert int(sequence) == number
        assert json.loads(text) == EVENTS[number - 1].as_json()


def test_cut_at_any_byte_it_holds_the_whole_events_before_and_goes_on(path):
    whole = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        assert read(path) == EVENTS[: sum(end <= length for end in ends)]
        # A line that lacks its newline alone is whole.
        kept = sum(end - 1 <= length for end in ends)
        journal = Journal(path)
        assert journal.append(MORE) == kept + 1
        journal.close()
        assert read(path) == [*EVENTS[:kept], MORE]


def test_what_lies_behind_damage_is_read_and_the_damage_is_told(path, caplog):
    whole = bytearray(path.read_bytes())
    whole[20] ^= 1
    path.write_bytes(whole)
    reader = JournalReader(path)
    assert [entry.event for entry in reader.read_all()] == EVENTS[1:]
    assert reader.missing == [(1, 1)]
    assert "journal.log is damaged at byte 0: event 1 is expected there" in caplog.text
    journal = Journal(path)
    assert journal.append(MORE) == 4
    journal.close()
    # Nothing of the damaged line is removed.
    assert path.read_bytes().startswith(bytes(whole))
    assert read(path) == [*EVENTS[1:], MORE]


def test_a_missing_line_is_damage(path, caplog):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])
    reader = JournalReader(path)
    assert [entry.sequence for entry in reader.read_all()] == [1, 3]
    assert reader.missing == [(2, 2)]
    assert f"damaged at byte {len(lines[0])}: event 2 is expected there" in caplog.text


def test_an_interrupted_write_leaves_no_line_twice(path):
    """A signal's exception between the write and its note, which no test can time."""
    journal = Journal(path)
    state = journal._state
    journal.append(MORE)
    journal._state, journal._writing = (state[0], [encode(4, MORE)], 0), True
    journal.append(EVENTS[0])
    journal.close()
    assert read(path) == [*EVENTS, MORE, EVENTS[0]]
    assert path.read_bytes().count(b"\n") == 5


def test_a_journal_belongs_to_one_process_until_it_dies(path):
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from reproducible_ml.tracking.folder.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\nprint('held', flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(JournalLocked, match="locked by a living process"):
            Journal(path)
        process.kill()
        process.wait()
        journal = Journal(path)
        journal.close()
        journal.close()


def test_a_reader_follows_a_growing_journal(path):
    reader = JournalReader(path)
    assert len(list(reader.read_all())) == 3
    journal = Journal(path)
    journal.append(MORE)
    assert [entry.event for entry in reader.read_all()] == [MORE]
    assert reader.read() == []
    journal.close()


def test_a_kind_of_a_later_version_is_read_as_it_is_and_written_so_again(path):
    journal = Journal(path)
    later = {"e": "photo", "n": [1], "time": "2030-01-01T00:00:00.000000"}
    journal.append(Unknown(later))
    journal.close()
    assert read(path)[-1] == Unknown(later)
    assert path.read_bytes().endswith(b" 4 " + json.dumps(later).replace(" ", "").encode() + b"\n")


def test_an_event_without_one_of_its_fields_is_named_and_not_passed_over(path):
    journal = Journal(path)
    journal.append(Unknown({"e": "heartbeat", "time": "2030-01-01T00:00:00.000000"}))
    journal.append(MORE)
    journal.close()
    reader = JournalReader(path)
    for _ in range(2):
        with pytest.raises(TrackingError, match="event 4 has no 'output_bytes', found "):
            list(reader.read_all())
