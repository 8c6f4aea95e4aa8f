"""Leases: a folder that one process at a time may write, whatever ends the others.

Protocol. The lease is a small file: ``.NAME.lease`` beside the folder, or ``.lease`` within it. It
names its owner (host, start of the host, process and its start) and the run. It appears whole, by a
hard link, which only one of several processes can make, also on NFS. A thread of the owner renews
it every ``RENEWAL_SECONDS`` by touching it, until it is released. ``kill -9`` leaves it, and then:

* on the owner's host, others see that its process is gone, at once;
* on another host, they see that it is no longer renewed, ``EXPIRY_SECONDS`` later. Ages are
  differences of times that the file system itself gives, so clocks of hosts may differ.

A stale lease is taken over by whoever makes the file ``….next`` of it, which again only one can; it
then replaces the lease, if that is still the stale one. An owner that slept longer than that (a
machine in standby) finds that its lease is another's, and must stop: ``Lease.check``.
"""

from __future__ import annotations

import atexit
import glob
import hashlib
import json
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reproducible_ml.process.owner import Owner, is_visibly_gone, this_process
from reproducible_ml.utils.errors import ConfigError, TrackingError
from reproducible_ml.utils.text import neutral

RENEWAL_SECONDS = 10.0
EXPIRY_SECONDS = 60.0
_LOOK_SECONDS = 0.25
_LONGEST_NAME_BYTES = 150
_TEMPORARY = re.compile(r"\.(?P<label>[0-9a-f]{8}-[0-9]+-[0-9a-f]{8})\.[0-9a-f]{12}$")


class Held(ConfigError):
    """Another process writes the folder."""


@dataclass(frozen=True)
class _Content:
    """What the file of a lease holds."""

    token: str
    owner: Owner
    run: str
    since: str

    def as_bytes(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()


class Lease:
    """A lease that this process holds; of ``hold``.

    Attributes:
        folder: The folder that it is for.
        holder: What in this process holds it, such as a run.
    """

    def __init__(self, path: Path, folder: Path, run: str, holder: Any) -> None:
        self.folder = folder
        self.holder = holder
        self.count = 1
        self.thread = threading.get_ident()
        self._path = path
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        self._content = _Content(secrets.token_hex(8), this_process(), run, since)
        self._renewed = time.time()
        self._taken_by = ""

    def acquire(self, wait: bool) -> None:
        """Make the file.

        Args:
            wait: Watch a lease of another host until it is renewed or has expired.

        Raises:
            Held: Another process holds it.
            OSError: The file can't be made.
        """
        began, first, told = time.monotonic(), 0.0, False
        while not _made(self._path, self._content):
            found = _read(self._path)
            if found is None:
                continue  # released just now
            other, age = found
            if other.owner.is_visible():
                stale = not other.owner.lives()
            else:
                watched = time.monotonic() - began
                if first == 0.0:
                    first = age
                # Renewed since, or of no use to wait for.
                if age < first or (not wait and age < EXPIRY_SECONDS):
                    raise self._refusal(other)
                stale = age >= EXPIRY_SECONDS
                if not stale and not told and watched > 1:
                    told = True
                    _say(
                        f"{self.folder} is held by {_named(other)}: waiting whether it renews its "
                        f"lease, at most {EXPIRY_SECONDS - age:.0f} s."
                    )
            if not stale:
                if other.owner.is_visible():
                    raise self._refusal(other)
                time.sleep(_LOOK_SECONDS)
            elif self._take_over(other):
                why = "is gone" if other.owner.is_visible() else "no longer renews its lease"
                _say(f"Taken over: {self.folder} was held by {_named(other)}, which {why}.")
                break
        self._renewed = time.time()
        _sweep(self._path)

    def _refusal(self, other: _Content) -> Held:
        stop = f"stop it (kill {other.owner.pid})"
        if other.owner.host != self._content.owner.host:
            stop = f"stop it there ({other.owner.host})"
        return Held(
            f"{self.folder} is being written by {_named(other)}: wait for its end, {stop}, or name "
            "another folder."
        )

    def _take_over(self, other: _Content) -> bool:
        with _successor(self._path, other.token, self._content) as mine:
            if not mine:
                time.sleep(_LOOK_SECONDS)
                return False
            found = _read(self._path)
            if found is None or found[0].token != other.token:
                return False
            _replace(self._path, self._content)
            return True

    def tell_run(self, run: str) -> None:
        """Name the run, once it is known."""
        changed = _Content(self._content.token, self._content.owner, run, self._content.since)
        with suppress(OSError):
            if self._is_mine():
                _replace(self._path, changed)
                self._content = changed

    def _is_mine(self) -> bool:
        found = _read(self._path)
        if found is not None and found[0].token != self._content.token:
            self._taken_by = _named(found[0])
        return found is not None and not self._taken_by

    def renew(self) -> None:
        """Touch the file; make it again if somebody removed it."""
        with suppress(OSError):
            if self._is_mine():
                os.utime(self._path)
            elif self._taken_by or not _made(self._path, self._content):
                return
            self._renewed = time.time()

    def check(self) -> None:
        """Check that nobody has taken the lease over.

        Raises:
            TrackingError: Another process writes the folder now.
        """
        if time.time() - self._renewed > EXPIRY_SECONDS / 2:
            self.renew()
        if self._taken_by:
            raise TrackingError(
                f"{self.folder} was taken over by {self._taken_by}, since this process did not "
                f"renew its lease for {EXPIRY_SECONDS:.0f} s, as in standby. Nothing more is "
                "written there by this one."
            )

    def remove(self) -> None:
        """Remove the file, unless it is another's by now."""
        if self._content.owner.pid != os.getpid():
            return  # a forked child, which holds nothing
        with suppress(OSError), _successor(self._path, self._content.token, self._content) as mine:
            if mine and self._is_mine():
                self._path.unlink()


def beside(folder: str | os.PathLike[str]) -> Path:
    """Return the lease's path beside a folder; within it if that is a mount point.

    Other spellings of the folder, by links, have the same one.
    """
    target = Path(os.path.realpath(folder))
    if os.path.ismount(target):
        return within(target)
    name = os.fsencode(target.name)
    # A file's name holds at most 255 bytes, with what is added while a lease is replaced.
    short = target.name if len(name) <= _LONGEST_NAME_BYTES else hashlib.sha256(name).hexdigest()
    return target.with_name(f".{short}.lease")


def within(folder: str | os.PathLike[str]) -> Path:
    """Return the lease's path within a folder."""
    return Path(os.path.realpath(folder), ".lease")


_held: dict[Path, Lease] = {}
_lock = threading.RLock()
_renewing: threading.Thread | None = None


@contextmanager
def hold(
    folder: str | os.PathLike[str],
    run: str = "",
    holder: Any = None,
    path: Path | None = None,
    wait: bool = True,
) -> Iterator[Lease]:
    """Hold a folder while the block runs, so that no other process writes it.

    The same holder may hold it several times at once; so may any, in one thread.

    Args:
        folder: The folder, which need not exist.
        run: What holds it, in words, such as "run 3 in runs".
        holder: What in this process holds it, such as a run; None for the thread.
        path: The file of the lease; None for that beside the folder.
        wait: Watch a lease of another host until it is renewed or has expired.

    Raises:
        Held: Another process or holder writes the folder; one sentence says who and what to do.
        ConfigError: The lease can't be written.
    """
    path = beside(folder) if path is None else path
    made: list[Path] = []
    try:
        made = [one for one in path.parent.parents if not one.exists()]
        made += [] if path.parent.exists() else [path.parent]
        path.parent.mkdir(parents=True, exist_ok=True)
        lease = _acquired(path, Path(folder), run, holder, wait)
    except Held:
        raise
    except OSError as error:
        raise ConfigError(
            f"{folder} can't be held for this process, since {path} can't be written: "
            f"{error.strerror or error}. Name a folder in a writable place."
        ) from error
    try:
        yield lease
    finally:
        _release(path, lease)
        with suppress(OSError):
            # Those that this call has made, if nothing came into them; innermost first.
            for one in sorted(made, reverse=True):
                one.rmdir()


def _acquired(path: Path, folder: Path, run: str, holder: Any, wait: bool) -> Lease:
    global _renewing
    with _lock:
        lease = _held.get(path)
        if lease is not None:
            known = lease.holder is not None or holder is not None
            same = lease.holder is holder or holder is None or lease.holder is None
            if lease.thread == threading.get_ident() or (known and same):
                lease.count += 1
                return lease
            raise Held(
                f"{folder} is being written by this process already: wait for the end of that "
                "training, or name another folder."
            )
    # Without the lock, since this may wait, and others must be renewed meanwhile.
    lease = Lease(path, folder, run, holder)
    lease.acquire(wait)
    with _lock:
        _held[path] = lease
        if _renewing is None or not _renewing.is_alive():
            _renewing = threading.Thread(target=_renew, name="leases", daemon=True)
            _renewing.start()
    return lease


def _release(path: Path, lease: Lease) -> None:
    with _lock:
        lease.count -= 1
        if lease.count == 0 and _held.get(path) is lease:
            del _held[path]
            lease.remove()


# What is held until the end of a holder, such as a run.
_until_end: dict[int, ExitStack] = {}


def hold_until_end(holder: Any, folder: str | os.PathLike[str], run: str) -> Lease:
    """Hold a folder until ``release_of`` is called with the same holder; see ``hold``.

    Raises:
        Held: Another process or holder writes the folder.
        ConfigError: The lease can't be written.
    """
    stack = _until_end.setdefault(id(holder), ExitStack())
    lease = stack.enter_context(hold(folder, run, holder))
    lease.tell_run(run)
    return lease


def release_of(holder: Any) -> None:
    """Release what a holder has held until its end."""
    stack = _until_end.pop(id(holder), None)
    if stack is not None:
        stack.close()


def lease_of(folder: str | os.PathLike[str]) -> Lease | None:
    """Return the lease of a folder that this process holds; None if it holds none."""
    return _held.get(beside(folder))


def writing_run(folder: str | os.PathLike[str]) -> str:
    """Return the run that another living process writes a folder with; "" without one."""
    found = _read(beside(folder))
    if found is None:
        return ""
    owner, age = found[0].owner, found[1]
    return "" if _is_stale(owner, age) or owner == this_process() else found[0].run


def held_by(path: Path) -> str:
    """Return who holds a lease on a host that can't be seen from here; "" if nobody does."""
    found = _read(path)
    if found is None or found[0].owner.is_visible() or found[1] >= EXPIRY_SECONDS:
        return ""
    return _named(found[0])


def _renew() -> None:
    while True:
        time.sleep(RENEWAL_SECONDS)
        with _lock:
            # Within the lock: one that is released meanwhile must not be made again.
            for lease in _held.values():
                lease.renew()


def _made(path: Path, content: _Content) -> bool:
    """Make the file with its content, unless it exists."""
    temporary = _temporary(path)
    try:
        temporary.write_bytes(content.as_bytes())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:
            if os.stat(temporary).st_nlink == 2:
                return True  # NFS: made, and the answer was lost
            return _made_without_links(path, content)
        return True
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _made_without_links(path: Path, content: _Content) -> bool:
    try:
        with open(path, "xb") as file:
            file.write(content.as_bytes())
    except FileExistsError:
        return False
    return True


def _replace(path: Path, content: _Content) -> None:
    temporary = _temporary(path)
    temporary.write_bytes(content.as_bytes())
    os.replace(temporary, path)


@contextmanager
def _successor(path: Path, token: str, content: _Content) -> Iterator[bool]:
    """Be the only one that replaces or removes the lease with this token, or not."""
    next_path = path.with_name(f"{path.name}.{token}.next")
    if not _made(next_path, content):
        other = _read(next_path)
        if other is not None and _is_stale(other[0].owner, other[1]):
            with suppress(FileNotFoundError):
                next_path.unlink()  # killed while it took the lease over
        yield False
        return
    try:
        yield True
    finally:
        with suppress(FileNotFoundError):
            next_path.unlink()


def _temporary(path: Path) -> Path:
    """Return a path for a file that only this process touches, and whose name says so.

    What is left of it may be empty, since a process can be killed at any moment.
    """
    return path.with_name(f"{path.name}.{this_process().label}.{secrets.token_hex(6)}")


def _sweep(path: Path) -> None:
    """Remove what processes left beside a lease that were killed while they made theirs."""
    with suppress(OSError):
        for left in path.parent.glob(f"{glob.escape(path.name)}.*"):
            named = _TEMPORARY.search(left.name)
            if named is not None and is_visibly_gone(named["label"]):
                left.unlink(missing_ok=True)
                continue
            found = _read(left)
            if found is not None and _is_stale(found[0].owner, found[1]):
                left.unlink(missing_ok=True)


def _is_stale(owner: Owner, age: float) -> bool:
    return not owner.lives() if owner.is_visible() else age >= EXPIRY_SECONDS


def _read(path: Path) -> tuple[_Content, float] | None:
    """Return a lease and the seconds since its renewal, by the file system's clock."""
    try:
        text = path.read_text(encoding="utf-8")
        renewed = path.stat().st_mtime
        age = max(0.0, _clock(path) - renewed)
    except FileNotFoundError:
        return None
    try:
        found = json.loads(text)
        owner = Owner(**found["owner"])
        return _Content(found["token"], owner, str(found["run"]), str(found["since"])), age
    except (ValueError, TypeError, KeyError):
        # Half written where there are no hard links, or damaged: it counts until it has expired.
        nobody = Owner("an unknown host", "", "?", 0, "?")
        return _Content("damaged", nobody, "", "an unknown time"), age


def _clock(path: Path) -> float:
    """Return the present time of the file system that holds the lease."""
    probe = _temporary(path)
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()  # one that can only be read
    finally:
        with suppress(OSError):
            probe.unlink()


def _named(content: _Content) -> str:
    run = f" ({content.run})" if content.run else ""
    owner = content.owner
    return f"process {owner.pid} on {owner.host}{run} since {content.since}"


def _say(sentence: str) -> None:
    # It names what a file of another process says.
    print(neutral(sentence), file=sys.stderr, flush=True)


@atexit.register
def _release_all() -> None:
    with _lock:
        for lease in _held.values():
            lease.remove()
        _held.clear()


def _forget() -> None:
    """Hold nothing in a forked child: the leases are its parent's."""
    global _lock, _renewing
    _lock = threading.RLock()
    _renewing = None
    _held.clear()
    _until_end.clear()


os.register_at_fork(after_in_child=_forget)
