"""Comparison of a page's output with the real one, times, ids, digests and paths aside."""

import re

# A line of Sacred's own log.
LOG = re.compile(r"(INFO|WARNING) - ")
UNCOMMITTED = re.compile(
    r"\* files differed from the git commit|INFO - \S+ - The record holds the changed lines of"
)
# What no two machines or days have in common.
VARYING = [
    (r"\b(\d+ h )?\d+ min( \d+ s)?\b", "0.1 s"),
    (r"\b\d+:\d\d(:\d\d)?\b", "TIME"),
    (r"https?://[\w.:-]+", "ADDRESS"),
    (r"\bon port \d+", "on port"),
    (r"(?<![\w.])[-+]?\d+\.\d+(e[+-]?\d+)?\b", "DECIMAL"),
    (r"\b[0-9a-f]{8,}\b", "DIGEST"),
    (r"\b\d+ (s|seconds|kB|MB|GB)\b", r"DECIMAL \1"),
    (r"\bDECIMAL (kB|MB|GB|B)\b", "SIZE"),
    (r"(?<!\S)/\S*/", ""),
]
# A smaller piece of work has the same lines with other numbers; only runs are numbered the same,
# but for the members of a sweep, which take their numbers in any order.
MEMBER = (r"(member .*|recorded as )run \d+", r"\1run")
NUMBER = (r"(?<![A-Za-z])(?<![Rr]un )(?<!runs/)-?\d[\d,]*(?![A-Za-z])", "N")


def form(line, numbers=True):
    """Reduce a line to what stays the same; without numbers also those become one letter."""
    # The lines say where commands are; which folder they lie in depends on the environment.
    line = re.sub(r"\S*\.venv/bin/", "", line)
    for pattern, instead in VARYING if numbers else [*VARYING, MEMBER, NUMBER, ("DECIMAL", "N")]:
        line = re.sub(pattern, instead, line)
    line = re.sub(r"-{3,}", "-", line)
    return " ".join(line.split())


def printed(output, log=False):
    """Return the lines of an output; Sacred's own log only where it is wanted."""
    lines = [line for line in output.splitlines() if log or not LOG.match(line)]
    # Whether files differ from git's depends on who runs the tests.
    lines = [re.sub(r"^(\d+)\*", r"\1 ", line) for line in lines if not UNCOMMITTED.match(line)]
    # The log goes to stderr: what comes first in a file that takes both is left to chance.
    return sorted((line for line in lines if line.strip()), key=lambda line: not LOG.match(line))


def difference(shown, output, numbers, log=False):
    """Return what differs between the shown and the real output as text, "" for nothing."""
    wanted = [line for line in shown if line.strip()]
    wanted = sorted(wanted, key=lambda line: not LOG.match(line)) if log else wanted
    expected = _once([form(line, numbers) for line in wanted], numbers)
    real = _once([form(line, numbers) for line in printed(output, log)], numbers)
    if _fits(expected, real):
        return ""
    return "the page shows\n{}\n\nbut what came was\n{}\n\n{}".format(
        "\n".join(expected), "\n".join(real), "\n".join(printed(output, log))
    )


def _once(forms, numbers):
    """Lines of one form that follow each other count once where their number was changed."""
    if numbers:
        return forms
    return [one for number, one in enumerate(forms) if number == 0 or forms[number - 1] != one]


def _fits(expected, real):
    if not expected:
        return not real
    if expected[0] == "...":
        return any(_fits(expected[1:], real[start:]) for start in range(len(real) + 1))
    return bool(real) and expected[0] == real[0] and _fits(expected[1:], real[1:])
