"""The only import site of Sacredboard, which needs help in an environment of today."""

from __future__ import annotations

import locale
import os
import warnings
from pathlib import Path


def _make_the_locale_usable() -> None:
    """Fall back to the C locale if the environment names one that is not installed.

    Sacredboard calls ``locale.setlocale(LC_ALL, "")`` on import, which would raise.
    """
    try:
        locale.setlocale(locale.LC_ALL, "")
    except locale.Error:
        os.environ["LC_ALL"] = "C"


_make_the_locale_usable()

with warnings.catch_warnings():
    # It compares strings with ``is`` and asks pkg_resources for its version; we can fix neither.
    warnings.simplefilter("ignore")
    import sacredboard
    from sacredboard.app.webapi.wsgi_server import ServerRunner

PACKAGE_DIR = Path(sacredboard.__file__).parent

__all__ = [
    "PACKAGE_DIR",
    "ServerRunner",
]
