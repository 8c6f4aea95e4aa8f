"""The fenced blocks of README and documentation, as tests read them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# "<!-- not run: needs … -->", "<!-- before: COMMAND -->" and "<!-- file: NAME -->" stand before the
# block they speak of.
_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<why>[^>]+) -->\n+)?(?:^<!-- before: (?P<before>[^>]+) -->\n+)?"
    r"(?:^<!-- file: (?P<file>[^>]+) -->\n+)?"
    r"^```(?P<kind>[\w{}-]*)\n(?P<text>.*?)^```",
    re.M | re.S,
)


class Block(NamedTuple):
    """A fenced block.

    Attributes:
        kind: What it is marked as: bash (commands), console (commands and their output; a line
            ``...`` stands for any number of lines that are left out), python and others.
        text: Its lines.
        why: Why it is not run, or None.
        before: A command that is run before it and not shown, or None.
        file: The name of the file that it is the content of, or None.
    """

    kind: str
    text: str
    why: str | None
    before: str | None
    file: str | None


def name_of(page):
    """Return a page's path below the project."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page):
    """Return the blocks of a page in their order."""
    return [
        Block(found["kind"], found["text"], found["why"], found["before"], found["file"])
        for found in _BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]


class Command(NamedTuple):
    """A command of a page, and the lines that the page shows of its output."""

    line: str
    shown: list[str]


def commands_of(block):
    """Split a bash or console block into its commands."""
    commands = []
    joined = re.sub(r"\\\n\s*", "", block.text)
    for line in joined.splitlines():
        if block.kind == "console" and not line.startswith("$ "):
            commands[-1].shown.append(line)
            continue
        command = re.sub(r"(^|\s+)#\s.*$", "", line.removeprefix("$ ")).strip()
        if command:
            commands.append(Command(command, []))
    for command in commands:
        while command.shown and not command.shown[-1].strip():
            command.shown.pop()
    return commands


class File(NamedTuple):
    """A file that a page shows: the reader saves it under this name."""

    name: str
    text: str


class Program(NamedTuple):
    """Python blocks that stand together, without a command between them."""

    text: str


def steps_of(page):
    """Return what a reader of a page does, in its order: commands, programs and files."""
    steps = []
    for block in blocks_of(page):
        if block.why is not None or block.kind not in ("bash", "console", "python"):
            continue
        steps += [Command(block.before, [])] if block.before else []
        if block.file is not None:
            steps.append(File(block.file, block.text))
        elif block.kind == "python":
            before = steps.pop().text + "\n" if steps and isinstance(steps[-1], Program) else ""
            steps.append(Program(before + block.text))
        else:
            steps += commands_of(block)
    return steps
