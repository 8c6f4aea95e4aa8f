"""The head of a run and the verdicts on it, as both ``show`` and the report print them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reproducible_ml.tracking.runs.resuming import resume_command
from reproducible_ml.utils.redaction import redact, typed_without_secrets, without_secrets
from reproducible_ml.utils.text import SHORT_DIGEST, counted, duration, shown

if TYPE_CHECKING:
    from reproducible_ml.tracking.runs.run import Run

_OF_A_RERUN = re.compile(r"executes run \S+ again")


@dataclass(frozen=True)
class VerdictRow:
    """One verdict of ``reproduce``, as strings.

    Attributes:
        time: When it was given, in UTC; "-" if that is not recorded.
        about: The run that was executed again, or the rerun.
        verdict: The verdict.
        across: The differences in the environment that it was measured across.
    """

    time: str
    about: str
    verdict: str
    across: str


def head_facts(run: Run) -> dict[str, str]:
    """Return when and where a run ran, its source files, and how to resume it."""
    started = "-" if run.started is None else f"{run.started:%Y-%m-%d %H:%M:%S} UTC"
    facts = {
        "started": f"{started}, {duration(run.duration_seconds)}",
        "host": shown((run.entry.get("host") or {}).get("hostname")),
        "sources": _sources(run),
    }
    comment = comment_of(run.entry)
    if comment:
        facts["comment"] = comment
    unrecorded = "; ".join(map(str, run.facts.get("unrecorded") or ()))
    facts.update({"unrecorded": unrecorded} if unrecorded else {})
    command = resume_command_of(run)
    return {**facts, "resume": command} if command else facts


def comment_of(entry: Mapping[str, Any]) -> str:
    """Return the comment that a person gave to a run (``-c``), on one line; empty without one.

    Args:
        entry: The run as its store holds it.
    """
    meta = entry.get("meta")
    comment = meta.get("comment") if isinstance(meta, Mapping) else None
    # That of a rerun says what its verdict says.
    if not comment or _OF_A_RERUN.fullmatch(str(comment)):
        return ""
    return redact(shown(str(comment)))


def resume_command_of(run: Run) -> str:
    """Return the command that resumes a stopped training, with secrets shown as ``***``.

    Empty for any other run.
    """
    entry = run.entry
    command = resume_command(
        entry.get("experiment") or {},
        entry.get("meta") or {},
        run.facts,
        run.status,
        entry.get("fail_trace") or (),
    )
    try:
        words = shlex.split(command)
    except ValueError:  # a sentence about a folder with an apostrophe
        return redact(command)
    hidden = typed_without_secrets(words)
    # Nobody can paste what is hidden, so it is not quoted.
    return " ".join(
        shlex.quote(word) if word == shown_word else shown_word
        for word, shown_word in zip(words, hidden)
    )


def verdict_rows(verdicts: Any) -> list[VerdictRow]:
    """Return the verdicts on a run, oldest first.

    Args:
        verdicts: The run's ``info["verdicts"]``.
    """
    rows = []
    for one in verdicts or []:
        if not isinstance(one, Mapping):
            rows.append(VerdictRow("-", "-", shown(one), "-"))
            continue
        origin = one.get("reproduced_from") or {}
        about = f"executed again by run {one['reproduced_by']}" if "reproduced_by" in one else "-"
        about = f"executes run {origin['run_id']} again" if "run_id" in origin else about
        if one.get("changes"):
            about += f", with {shown(without_secrets(one['changes']))}"
        across = ", ".join(map(str, one.get("across") or [])) or "the same environment"
        time = shown(one.get("time"))[: len("2026-01-01T00:00")].replace("T", " ")
        rows.append(VerdictRow(f"{time} UTC", about, shown(one.get("verdict")), across))
    return rows


def _sources(run: Run) -> str:
    text = counted(len((run.entry.get("experiment") or {}).get("sources") or []), "file")
    if run.git_commit:
        text += f" from commit {run.git_commit[:SHORT_DIGEST]}"
    if run.dirty:
        changed = (run.environment.get("git") or {}).get("changed") or []
        new = sum(one.startswith("?? ") for one in changed)
        counts = {"changed": len(changed) - new, "new": new}
        found = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        text += f", dirty: {found}" if found else ", dirty"
    return text if run.git_commit or run.dirty else f"{text}, no git commit"
