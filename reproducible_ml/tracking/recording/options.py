"""The observers of a run, from its command line options ``-F``, ``-m`` and ``-u``.

Every run is written to a local folder first, ``runs/`` unless ``-F`` names another. ``-m`` adds a
MongoDB database that gets the same from there. ``-u`` (Sacred's own) switches all of it off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.mongo import MongoTarget, parse_mongo
from reproducible_ml.tracking.recording.observer import LocalStore
from reproducible_ml.tracking.runs import DEFAULT_FOLDER, FOLDER_OPTION, MONGO_OPTION
from reproducible_ml.tracking.sacred_parts import CLIOption, print_config_option
from reproducible_ml.utils.errors import ConfigError

FOLDER, MONGO, IDENTITY = FOLDER_OPTION, MONGO_OPTION, "--id"
PRINT_CONFIG: str = print_config_option.get_flag()
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def mongo_db(args: Any, run: Any) -> None:
    """Also deliver the run to a MongoDB database.

    DATABASE, HOST:PORT, HOST:PORT:DATABASE, HOST:DATABASE or
    mongodb://USER:PASSWORD@HOST:PORT/DATABASE; an IPv6 address stands in brackets. The run is
    written locally in any case, so nothing is lost while the database does not answer.
    """


def file_storage(args: Any, run: Any) -> None:
    """Write the run to this folder instead of runs."""


def _option(function: Any, short: str, long: str, value: str) -> CLIOption:
    option = CLIOption(function, short, long, is_flag=False)
    option.arg = value
    return option


# They stand in the place of Sacred's options of the same name, in the help text too.
OWN_OPTIONS = {
    FOLDER: _option(file_storage, "-F", FOLDER, "DIR"),
    MONGO: _option(mongo_db, "-m", MONGO, "ADDRESS"),
}


class Storage:
    """Where a run goes.

    Attributes:
        folder: The local folder of runs.
        mongo: The database that also gets the run; None for none.
        run_id: The id that the user gave; None to have one assigned.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Read the options.

        Raises:
            ConfigError: The address or the id is none; the message holds no credentials.
        """
        self.folder = Path(options.get(FOLDER) or DEFAULT_FOLDER).expanduser()
        address = options.get(MONGO)
        self.mongo: MongoTarget | None = None
        if address is not None:
            self.mongo = address if isinstance(address, MongoTarget) else parse_mongo(str(address))
        self.run_id = checked_id(options.get(IDENTITY))

    def observer(self) -> LocalStore:
        """Return the observer that writes there."""
        return LocalStore(self.folder, self.mongo)

    def shown(self) -> dict[str, str]:
        """Return the options as they may be recorded: without credentials."""
        shown = {}
        if self.mongo is not None:
            shown[MONGO] = self.mongo.shown
        return shown


def checked_id(given: Any) -> int | str | None:
    """Return an id that a user gave, numbers as numbers.

    Raises:
        ConfigError: It is no plain name, and would lead out of the folder of runs.
    """
    if given is None or isinstance(given, int):
        return given
    text = str(given)
    if not _PLAIN_ID.fullmatch(text):
        raise ConfigError(
            f"The run id {text!r} must be letters, digits, '-', '_' and '.', beginning with a "
            "letter or digit."
        )
    return int(text) if text.isdecimal() and str(int(text)) == text else text
