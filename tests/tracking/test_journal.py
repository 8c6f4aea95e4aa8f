"""The journal: whole after any kill, locked while its process lives, exact about damage."""

import json
import math
import subprocess
import sys
import zlib

import pytest

from reproducible_ml.tracking.folder.journal import Journal, JournalLocked, JournalReader
from reproducible_ml.utils.errors import TrackingError

EVENTS = [
    {"e": "start", "text": "äöü \ud800 \n"},
    {"e": "metric", "values": [math.inf, 0.1, -0.0]},
    {"e": "end", "nested": {"a.b": ["$c", None, True]}},
]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "journal.log"
    journal = Journal(path)
    for event in EVENTS:
        journal.append(event)
    journal.close()
    return path


def read(path):
    return [event.data for event in JournalReader(path).read_all()]


def test_what_was_appended_is_read_in_order(path):
    assert read(path) == EVENTS
    assert [event.sequence for event in JournalReader(path).read_all()] == [1, 2, 3]


def test_a_line_is_its_checksum_its_number_and_json(path):
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        checksum, _, rest = line.partition(b" ")
        assert int(checksum, 16) == zlib.crc32(rest)
        sequence, _, text = rest.partition(b" ")
        assert int(sequence) == number
        assert json.loads(text)["e"] == EVENTS[number - 1]["e"]


def test_cut_at_any_byte_it_holds_the_whole_events_before_and_goes_on(path):
    whole = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        kept = sum(end <= length for end in ends)
        assert read(path) == EVENTS[:kept]
        journal = Journal(path)
        assert journal.append({"e": "more"}) == kept + 1
        journal.close()
        assert read(path) == [*EVENTS[:kept], {"e": "more"}]


def test_damage_before_the_end_is_an_error_and_no_shorter_journal(path):
    whole = bytearray(path.read_bytes())
    whole[20] ^= 1
    path.write_bytes(whole)
    with pytest.raises(TrackingError, match="is damaged at byte 0: expected event 1"):
        read(path)
    with pytest.raises(TrackingError, match="is damaged"):
        Journal(path)


def test_a_missing_line_is_damage(path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])
    reader = JournalReader(path)
    with pytest.raises(TrackingError, match="expected event 2"):
        list(reader.read_all())


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
        with pytest.raises(JournalLocked, match="held by a living process"):
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
    journal.append({"e": "later"})
    assert [event.data for event in reader.read_all()] == [{"e": "later"}]
    assert reader.read() == []
    journal.close()
