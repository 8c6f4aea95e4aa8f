"""The command-line options ``-F`` and ``-m``, and the observer that they choose.

Every run is written to a local folder first: ``runs/``, unless ``-F`` names another. ``-m`` also
delivers it from there to a MongoDB database. Sacred's own ``-u`` disables both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reproducible_ml.tracking.folder import highest_id
from reproducible_ml.tracking.mongo import (
    MONGO_FROM,
    MongoTarget,
    check_address,
    given_address,
    parse_mongo,
)
from reproducible_ml.tracking.recording.observer import LocalStore
from reproducible_ml.tracking.runs import DEFAULT_FOLDER, FOLDER_OPTION, MONGO_OPTION
from reproducible_ml.tracking.sacred_parts import (
    CLIOption,
    FileStorageObserver,
    print_config_option,
)
from reproducible_ml.utils.errors import ConfigError

FOLDER, MONGO, IDENTITY = FOLDER_OPTION, MONGO_OPTION, "--id"
GRACE, STOP_ON = "--grace", "--stop-on"
PRINT_CONFIG: str = print_config_option.get_flag()
# In the process of a rerun: the experiment's name. It is recorded where ``reproduce`` says and
# nowhere else.
RERUN_VARIABLE = "REPRODUCING_A_RUN"
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def mongo_db(args: Any, run: Any) -> None:
    """Also deliver the run to a MongoDB database.

    DATABASE, HOST:PORT, HOST:PORT:DATABASE, HOST:DATABASE or
    mongodb://USER:PASSWORD@HOST:PORT/DATABASE; write an IPv6 address in brackets. The run is always
    written locally too, so nothing is lost while the database does not answer. Others can read a
    command line: an address with a password is better in a file (--mongo-from) or in the variable
    REPRODUCIBLE_ML_MONGO.
    """


def mongo_from(args: Any, run: Any) -> None:
    """Also deliver the run to the database whose address is in this file of mode 0600."""


def grace(args: Any, run: Any) -> None:
    """End within so many seconds of a signal that asks the run to stop; 10 by default."""


def stop_on(args: Any, run: Any) -> None:
    """Stop on these signals, such as TERM,USR1 for Slurm; on TERM alone by default.

    A training finishes its step and writes a checkpoint; the same command resumes it.
    """


def file_storage(args: Any, run: Any) -> None:
    """Write the run to this folder instead of runs."""


def _option(function: Any, short: str, long: str, value: str) -> CLIOption:
    option = CLIOption(function, short, long, is_flag=False)
    option.arg = value
    return option


# These replace Sacred's options of the same name, also in the help text, or are added to them.
OWN_OPTIONS = {
    FOLDER: _option(file_storage, "-F", FOLDER, "DIR"),
    MONGO: _option(mongo_db, "-m", MONGO, "ADDRESS"),
    MONGO_FROM: _option(mongo_from, "-M", MONGO_FROM, "FILE"),
    GRACE: _option(grace, "-g", GRACE, "SECONDS"),
    STOP_ON: _option(stop_on, "-k", STOP_ON, "SIGNALS"),
}


class Storage:
    """The places that a run is recorded in.

    Attributes:
        folder: The local folder of runs.
        named: Whether the user named that folder.
        mongo: The database that also receives the run, if any.
        run_id: The id that the user chose; None to assign one.
        left_out: Folders of Sacred observers that do not receive the run.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Read the options.

        Raises:
            ConfigError: The address or the id is invalid; the message holds no credentials.
        """
        self.named = bool(options.get(FOLDER))
        self.folder = Path(options.get(FOLDER) or DEFAULT_FOLDER).expanduser()
        address = options.get(MONGO)
        self.mongo: MongoTarget | None = None
        self._origin: str | None = None
        if isinstance(address, MongoTarget):
            self.mongo = address
        else:
            given = given_address(address, options.get(MONGO_FROM))
            if given is not None:
                self.mongo, self._origin = parse_mongo(given.address), given.origin
        if self.mongo is not None:
            check_address(self.mongo)
        self.run_id = checked_id(options.get(IDENTITY))
        self.left_out: list[str] = []

    def take_place_of(self, observers: Iterable[Any]) -> None:
        """Use the folder of a Sacred observer, unless the options name one.

        Args:
            observers: Those of the experiment; the first that writes a folder counts. Other
                folders are noted in ``left_out``.
        """
        folders = [Path(one.basedir) for one in observers if isinstance(one, FileStorageObserver)]
        if folders and not self.named:
            self.folder = folders[0]
        place = self.folder.resolve()
        others = [] if self.named else folders
        self.left_out = sorted({str(one) for one in others if one.resolve() != place})

    def others(self, observers: Iterable[Any]) -> list[Any]:
        """Return those observers that also record the run: not folders, nor the same database."""
        return [
            one
            for one in observers
            if not isinstance(one, FileStorageObserver) and not self._delivers_to(one)
        ]

    def _delivers_to(self, observer: Any) -> bool:
        place = database_of(observer)
        return (
            place is not None
            and self.mongo is not None
            and place
            == (
                self.mongo.database,
                self.mongo.collection,
            )
        )

    def free_id(self, observers: Iterable[Any]) -> int | None:
        """Return an id that neither the folder nor the databases of observers have.

        Sacred gives a run one id everywhere, and a database refuses a taken one.

        Args:
            observers: Those that also record the run.

        Returns:
            The id; None if there is no such database, or it does not answer.
        """
        highest = []
        for one in observers:
            if database_of(one) is not None:
                try:
                    (newest,) = one.runs.find({"_id": {"$gt": 0}}, {"_id": 1}).sort("_id", -1)[:1]
                except ValueError:  # it holds no runs
                    newest = {"_id": 0}
                except Exception:  # Sacred's observer will say what is wrong with the database
                    return None
                highest.append(int(newest["_id"]))
        if not highest:
            return None
        here = highest_id(self.folder) if self.folder.is_dir() else 0
        return max(here, *highest) + 1

    def observer(self) -> LocalStore:
        """Return the observer that writes there."""
        return LocalStore(self.folder, self.mongo)

    def shown(self) -> dict[str, str]:
        """Return the options in the form to record: without credentials."""
        shown = {}
        if self.mongo is not None:
            shown[MONGO] = self.mongo.shown
        if self._origin is not None:
            shown[MONGO_FROM] = self._origin
        return shown


def database_of(observer: Any) -> tuple[str, str] | None:
    """Return database and collection of a Sacred observer that writes to MongoDB; else None."""
    database = getattr(getattr(observer, "runs", None), "database", None)
    return None if database is None else (str(database.name), str(observer.runs.name))


def places_of(observers: Iterable[Any]) -> list[str]:
    """Return in words where the experiment's own observers record its runs."""
    places = []
    for one in observers:
        place = database_of(one)
        if place is not None:
            places.append(f"MongoDB, {place[0]}.{place[1]} ({type(one).__name__})")
        elif not isinstance(one, LocalStore):
            places.append(type(one).__name__)
    return places


def checked_id(given: Any) -> int | str | None:
    """Return an id that a user chose, numbers as integers.

    Raises:
        ConfigError: It is not a plain name, so it could lead out of the folder of runs.
    """
    if given is None or isinstance(given, int):
        return given
    text = str(given)
    if not _PLAIN_ID.fullmatch(text):
        raise ConfigError(
            f"The run id {text!r} must consist of letters, digits, '-', '_' and '.', and begin "
            "with a letter or digit."
        )
    return int(text) if text.isdecimal() and str(int(text)) == text else text
