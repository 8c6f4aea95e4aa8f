"""Disks of a test's own: small ones, or folders that are mounted elsewhere."""

import contextlib
import subprocess

import pytest


@contextlib.contextmanager
def mounted(place, *how, lazily=False):
    """Mount something on a new folder while the block runs; skip the test where that is refused.

    Args:
        place: The folder, which does not exist yet.
        how: What ``mount`` gets before it.
        lazily: Let go of it at the end even if files on it are still open.
    """
    place.mkdir()
    try:
        done = subprocess.run(
            ["mount", *how, str(place)], capture_output=True, text=True, check=False
        )
        reason = done.stderr.strip() or f"exit code {done.returncode}" if done.returncode else ""
    except FileNotFoundError as error:
        reason = str(error)
    if reason:
        place.rmdir()
        pytest.skip(f"nothing can be mounted here: {reason}")
    try:
        yield place
    finally:
        subprocess.run(["umount", *(["-l"] if lazily else []), str(place)], check=True)


def small_disk(place, size, lazily=False):
    """Mount an empty disk on a new folder, such as of "64k"; see ``mounted``."""
    return mounted(place, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", lazily=lazily)
