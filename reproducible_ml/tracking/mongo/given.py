"""The address of a database as a user gives it: typed, in a private file, or in a variable.

An address with a password belongs neither on a command line, which every user of the machine can
read, nor in a file that others can read. So it is also taken from a file of mode 0600 and from the
environment variable ``REPRODUCIBLE_ML_MONGO``, by which child processes get it too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reproducible_ml.tracking.mongo.address import MongoTarget, parse_mongo
from reproducible_ml.utils.errors import ConfigError

MONGO_VARIABLE = "REPRODUCIBLE_ML_MONGO"
MONGO_FROM = "--mongo-from"
# What a record says in the place of a file.
FROM_VARIABLE, TYPED_PASSWORD = f"${MONGO_VARIABLE}", "FILE"
# An address is a line; anything much longer is another file.
_LONGEST_BYTES = 10_000
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class GivenAddress:
    """An address and its origin.

    Attributes:
        address: As ``parse_mongo`` takes it, with credentials if there are any.
        origin: The file that held it, ``FROM_VARIABLE``, ``TYPED_PASSWORD`` for a typed address
            with a password, or None for a typed one without.
    """

    address: str = field(repr=False)
    origin: str | None


def given_address(
    typed: str | None,
    file: str | Path | None,
    variables: Mapping[str, str] = os.environ,
) -> GivenAddress | None:
    """Return the address that a user gives; None without one.

    Args:
        typed: The argument of ``-m``.
        file: The argument of ``--mongo-from``.
        variables: The environment, whose ``REPRODUCIBLE_ML_MONGO`` counts without the others.

    Raises:
        ConfigError: Both are given, others can read the file, or there is no address in it or in
            the variable; the message holds nothing of their text.
    """
    if typed is not None and file is not None:
        raise ConfigError(f"The database is named twice: give -m or {MONGO_FROM} {file}, not both.")
    if typed is not None:
        with_password = parse_mongo(str(typed)).has_credentials
        return GivenAddress(str(typed), TYPED_PASSWORD if with_password else None)
    if file is not None:
        return GivenAddress(_checked(_line_of(Path(file)), str(file)), str(file))
    text = variables.get(MONGO_VARIABLE, "").strip()
    return GivenAddress(_checked(text, MONGO_VARIABLE), FROM_VARIABLE) if text else None


def with_credentials(target: MongoTarget, variables: Mapping[str, str] = os.environ) -> MongoTarget:
    """Return a recorded target with the credentials of ``REPRODUCIBLE_ML_MONGO``, if it is that.

    Args:
        target: A database as a run records it, without credentials.
        variables: The environment.

    Raises:
        ConfigError: There is no address in the variable.
    """
    given = given_address(None, None, variables)
    known = parse_mongo(given.address) if given else None
    return known if known is not None and known.shown == target.shown else target


def environment_for(
    address: str | None, variables: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the environment of a child process that delivers to this database, or to none.

    Args:
        address: The database; None for none, whatever this process's own variable says.
        variables: This process's environment.
    """
    others = {name: value for name, value in variables.items() if name != MONGO_VARIABLE}
    return others if address is None else {**others, MONGO_VARIABLE: address}


def _checked(text: str, where: str) -> str:
    try:
        parse_mongo(text)
    except ConfigError:
        # Its message would quote what may be a password alone.
        raise ConfigError(
            f"{where} holds no MongoDB address: expected one line such as "
            "mongodb://USER:PASSWORD@HOST:PORT/DATABASE, with / ? # @ and : in user and password "
            "as %2F %3F %23 %40 and %3A, or another form that -m takes."
        ) from None
    return text


def _line_of(path: Path) -> str:
    """Return the one line of a private file.

    Raises:
        ConfigError: It can't be read, is no regular file, is others' to read, or has other lines.
    """
    try:
        # Without blocking, as opening a pipe waits for its other end.
        descriptor = os.open(path.expanduser(), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(
            f"{MONGO_FROM} {path}: {error.strerror}; write the address into a file of mode 0600, "
            f"or set {MONGO_VARIABLE}."
        ) from None
    with open(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ConfigError(f"{MONGO_FROM} {path} is no regular file; name one of mode 0600.")
        if facts.st_mode & _OPEN_TO_OTHERS:
            raise ConfigError(
                f"{MONGO_FROM} {path} has mode {stat.S_IMODE(facts.st_mode):04o}, so others can "
                f"read or change the address in it: chmod 600 {path}"
            )
        content = file.read(_LONGEST_BYTES + 1)
    lines = content.decode("utf-8", "replace").split("\n")
    lines = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if len(content) > _LONGEST_BYTES or len(lines) != 1:
        raise ConfigError(
            f"{MONGO_FROM} {path} must hold one line, the address of a database (and comments that "
            f"begin with #), but has {len(lines)} of them."
        )
    return lines[0]
