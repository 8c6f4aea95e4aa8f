"""Runs to look at, recorded by Sacred with the observer that a test brings."""

import contextlib
import math
import struct
import time
import warnings
import zlib
from datetime import datetime, timedelta, timezone

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from sacred import Experiment

POINTS = 10_000
# Without a dot, which some servers take in no key.
HOSTILE = "<img src=x onerror=\"document['title']='hacked'\">"
HOST = {
    "hostname": "toy-host",
    "ENV": {},
    "cpu": "toy",
    "os": ["Linux", "6"],
    "python_version": "3",
}


def now():
    return datetime.now(timezone.utc).replace(tzinfo=None)


def png(path, size=16):
    """Write a small grey picture with no library."""
    rows = b"".join(b"\0" + bytes((x * y) % 256 for x in range(size)) for y in range(size))

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return path


def record(observer, main, name="toy", config=None):
    """Run a toy experiment to its end and return its id."""
    experiment = Experiment(name, save_git_info=False)
    experiment.add_config(config or {"lr": 0.1})
    experiment.observers.append(observer)
    experiment.main(main)
    run = experiment._create_run()
    run.capture_mode = "sys"  # pytest has the file descriptors
    if hasattr(observer, "attach"):
        observer.attach(run)
    with contextlib.suppress(ZeroDivisionError):
        run()
    # Sacred waits two seconds for its last heartbeat, which writes the metrics; a busy server needs
    # more.
    run._heartbeat.join()
    return run._id


def started(observer, heard_of, name="toy", heartbeat=True):
    """Record a run whose process was last heard of at a given time, as a killed one leaves it."""
    info = {"name": name, "base_dir": ".", "sources": [], "dependencies": [], "repositories": []}
    run_id = observer.started_event(info, "main", dict(HOST), heard_of, {"lr": 0.5}, {}, None)
    if heartbeat:
        observer.heartbeat_event({}, "still here\n", heard_of, None)
    return run_id


def queued(observer):
    """Record a run that waits."""
    info = {
        "name": "waiting",
        "base_dir": ".",
        "sources": [],
        "dependencies": [],
        "repositories": [],
    }
    return observer.queued_event(info, "main", dict(HOST), now(), {"lr": 0.7}, {}, None)


def trained(folder):
    """Return the main function of a run with everything in it."""

    def main(_run):
        print("first line")
        print("\x1b[32mcoloured\x1b[0m progress 1%\rprogress 100%")
        started = time.time()
        for step in range(POINTS):
            value = math.exp(-step / 3000) + 0.1 * math.sin(step / 150)
            if 4000 <= step < 5000:
                value = math.nan
            _run.log_scalar("loss/generator", value, step)
            _run.log_scalar("loss/critic", -value / 2, step)
        print(f"{POINTS} points in {time.time() - started:.1f} s")
        _run.add_artifact(png(folder / "grid_000100.png"), "grid_000100.png")
        _run.add_artifact(png(folder / "grid_000200.png", 32), "grid_000200.png")
        for name, text in (
            ("notes.txt", "a note\n"),
            ("page.html", "<script>document.title = 'hacked'</script>"),
            (
                "drawing.svg",
                "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
            ),
        ):
            (folder / name).write_text(text)
            _run.add_artifact(folder / name, name)
        return {"frechet": 12.5, "best": {"step": 9000, "missing": math.nan}}

    return main


def failing():
    """Fail, as a run does."""
    print("about to fail")
    return 1 / 0


def hostile(folder):
    """Return the main function of a run that puts markup wherever it can."""

    def main(_run):
        print(HOSTILE)
        _run.log_scalar(HOSTILE, 1.0, 0)
        _run.info[HOSTILE] = {"tensorflow": HOSTILE}
        _run.add_artifact(png(folder / "hostile.png"), HOSTILE)
        return HOSTILE

    return main


def fill(make_observer, folder):
    """Record one run of each state and return ``{what: id}``."""
    runs = {"trained": record(make_observer(), trained(folder), "digits", {"lr": 0.01, "seed": 7})}
    runs["failed"] = record(make_observer(), failing, "broken", {"lr": 0.2})
    runs["hostile"] = record(
        make_observer(), hostile(folder), HOSTILE, {"lr": 0.3, "text": HOSTILE}
    )
    runs["number"] = record(make_observer(), lambda: 0.25, "number", {"lr": 0.4})
    runs["killed"] = started(make_observer(), now() - timedelta(minutes=10), "killed")
    runs["alive"] = started(make_observer(), now(), "alive")
    runs["silent"] = started(make_observer(), now() - timedelta(hours=1), "silent", heartbeat=False)
    runs["queued"] = queued(make_observer())
    return {what: str(run_id) for what, run_id in runs.items()}
