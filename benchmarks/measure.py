"""Parts that the benchmarks share: contenders that take turns, tables, targets, the machine."""

from __future__ import annotations

import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from reproducible_ml.utils.text import table

# Shown instead of a target if a figure is only reported.
NO_TARGET = "-"


def _nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True)
class Contender:
    """One way to do a part's work.

    Attributes:
        run: Does the work; this is what is timed.
        prepare: Is called before each round, untimed.
        records: How many records it takes, where that is not the part's number.
    """

    run: Callable[[], object]
    prepare: Callable[[], object] = _nothing
    records: int | None = None


@dataclass
class Part:
    """One table: contenders that do the same work.

    Attributes:
        title: What is measured.
        base: The contender that the ratios refer to.
        records: Records, or other units, of one round.
        record_bytes: Bytes of a record's content, for MB/s; 0 where there are none.
        unit: What is counted, in the plural.
        seconds: Contender -> seconds of each round.
        counts: Contender -> its number of records.
    """

    title: str
    base: str
    records: int
    record_bytes: float = 0
    unit: str = "records"
    seconds: dict[str, list[float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def rates(self, name: str) -> list[float]:
        """Return a contender's records per second in each round."""
        return [self.counts[name] / seconds for seconds in self.seconds[name]]

    def ratio(self, name: str, against: str) -> float:
        """Return how many times faster one contender is than another.

        Neighbours in time are compared, since the machine's own speed wanders: the median of the
        rounds' ratios.
        """
        pairs = zip(self.rates(name), self.rates(against))
        return statistics.median(one / other for one, other in pairs)

    def to_json(self) -> dict[str, Any]:
        """Return everything, including raw seconds."""
        return {
            "base": self.base,
            "records": self.records,
            "record_bytes": self.record_bytes,
            "contenders": {
                name: {
                    "records": self.counts[name],
                    "records_per_second": statistics.median(self.rates(name)),
                    "ratio": self.ratio(name, self.base),
                    "seconds": seconds,
                }
                for name, seconds in self.seconds.items()
            },
        }

    @classmethod
    def from_json(cls, title: str, stored: Mapping[str, Any]) -> Part:
        """Undo ``to_json``."""
        contenders = stored["contenders"]
        return cls(
            title,
            stored["base"],
            stored["records"],
            stored["record_bytes"],
            seconds={name: found["seconds"] for name, found in contenders.items()},
            counts={name: found["records"] for name, found in contenders.items()},
        )


@dataclass(frozen=True)
class Target:
    """The speed that a contender should reach relative to another of the same part.

    Attributes:
        work: The work, for the table of figures.
        part: Title of the part.
        name: The contender.
        against: The other.
        least: The ratio of their speeds to reach; None states the ratio without a target.
        style: How the ratio is shown: "times", "percent", or "more time", how much longer it takes.
    """

    work: str
    part: str
    name: str
    against: str
    least: float | None
    style: str = "times"

    def show(self, ratio: float) -> str:
        """Return a ratio of speeds in the target's style."""
        if self.style == "percent":
            return f"{100 * ratio:.0f}%"
        if self.style == "more time":
            return f"{100 * (1 / ratio - 1):+.0f}% time"
        # Below 2, the second digit matters.
        return f"{ratio:.2f}x" if ratio < 2 else f"{ratio:.1f}x"

    def row(self, parts: Mapping[str, Part]) -> dict[str, Any] | None:
        """Return the target's line of the table of figures; None if it was not measured."""
        part = parts.get(self.part)
        if part is None or self.name not in part.seconds or self.against not in part.seconds:
            return None
        ratio = part.ratio(self.name, self.against)
        return {
            "work": self.work,
            "against": self.against,
            "target": NO_TARGET if self.least is None else self.show(self.least),
            "measured": self.show(ratio),
            "reached": None if self.least is None else ratio >= self.least,
        }


def take_turns(part: Part, contenders: Mapping[str, Contender], rounds: int) -> Part:
    """Let contenders take turns, in reverse order every other round; return the part.

    Each runs once untimed before, so that none pays for imports, tracing or the first reading of a
    file.
    """
    for contender in contenders.values():
        contender.prepare()
        contender.run()
    for name, contender in contenders.items():
        part.seconds[name] = []
        part.counts[name] = part.records if contender.records is None else contender.records
    for number in range(rounds):
        names = list(contenders)
        for name in names if number % 2 == 0 else reversed(names):
            contenders[name].prepare()
            # Flush what others wrote, so that this contender does not pay for it.
            os.sync()
            began = time.perf_counter()
            contenders[name].run()
            part.seconds[name].append(time.perf_counter() - began)
    return part


def show_part(part: Part, targets: Sequence[Target]) -> str:
    """Return a part's table: speeds, ratios to the base, and the targets of each contender."""
    of_bytes = f" of {part.record_bytes:,.0f} bytes" if part.record_bytes else ""
    rows = [("", f"{part.unit}/s", "MB/s", "ratio", "seconds")]
    for name, seconds in part.seconds.items():
        rate = statistics.median(part.rates(name))
        span = f"{min(seconds):.3f} to {max(seconds):.3f}"
        speed = f"{rate * part.record_bytes / 1e6:,.1f}"
        rows.append((name, f"{rate:,.0f}", speed, f"{part.ratio(name, part.base):.2f}", span))
    lines = [
        f"\n{part.title} ({part.records:,} {part.unit}{of_bytes})",
        *table(rows, right=range(1, 5)),
    ]
    for target in targets:
        row = target.row({part.title: part})
        if row is not None and row["reached"] is not None:
            verdict = "reached" if row["reached"] else "MISSED"
            lines.append(
                f"  {target.name} against {target.against}: {row['measured']}, "
                f"at least {row['target']}: {verdict}".replace("at least +", "at most +")
            )
    return "\n".join(lines)


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of figures.

    Args:
        rows: ``work``, ``against``, ``target``, ``measured``, and ``reached``: None where there is
            no target.
    """
    lines = ["| work | against | target | measured |", "| --- | --- | --- | --- |"]
    for row in rows:
        missed = " (missed)" if row["reached"] is False else ""
        lines.append(
            f"| {row['work']} | {row['against']} | {row['target']} | {row['measured']}{missed} |"
        )
    return "\n".join(lines)


def command_line(module: str) -> str:
    """Return the command that started this process."""
    return shlex.join(["python", "-m", module, *sys.argv[1:]])


def put_into(page: Path, name: str, text: str) -> None:
    """Replace the part of a page between ``<!-- name -->`` and ``<!-- /name -->``.

    Raises:
        SystemExit: The page has no such place.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{page} has no place for figures: {begin.strip()} ... {end.strip()}")
    page.write_text(f"{before}{begin}\n{text.strip()}\n\n{end}{after}", encoding="utf-8")


def describe_machine(folder: Path) -> dict[str, Any]:
    """Return what the figures depend on besides the code.

    Args:
        folder: Where the measured files lie.
    """
    from reproducible_ml.utils.environment import describe_cpu

    cpu = describe_cpu()
    return {
        "cpu": cpu["model"],
        "cores": cpu["usable_cores"],
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "file_system": file_system(folder),
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": platform.python_version(),
        "packages": _versions(
            "tensorflow", "numpy", "tensorflow-datasets", "array-record", "grain", "torch"
        ),
    }


def machine_line(machine: Mapping[str, Any]) -> str:
    """Return the machine in one line."""
    packages = ", ".join(f"{name} {found}" for name, found in machine["packages"].items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['file_system']}, {machine['system']}, Python {machine['python']}, {packages}"
    )


def file_system(folder: Path) -> str:
    """Return the type of a folder's file system; "unknown" if the system does not tell."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    found = ("", "unknown")
    inside = f"{folder.resolve()}/"
    for line in mounts:
        place, kind = line.split()[1:3]
        if inside.startswith(place.rstrip("/") + "/") and len(place) >= len(found[0]):
            found = (place, kind)
    return found[1]


def peak_memory_bytes() -> int:
    """Return the peak memory of this process.

    Linux hands the ``ru_maxrss`` of a process on to the program that it starts, so a child of a
    large process would seem large; ``VmHWM`` is the same figure of this program alone.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _versions(*names: str) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
