"""Removal of credentials from any text, and of values under secret names from what is shown.

Two rules. ``redact`` applies to all that is written or printed: users and passwords of addresses,
and a known password where it stands as a word of its own. ``without_secrets`` applies to all that
is shown of a record, in every command, page and table: it also hides values under secret names,
which the record itself must keep, because a rerun needs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

HIDDEN = "***"
# Matches names of variables and configuration keys with one of these words at their end, or before
# a separator or digit.
SECRET_NAME = re.compile(
    r"((^|[._-])(PASS|PWD|PW)|PASS(WORD|WD|PHRASE)|SECRET|TOKEN|CREDENTIAL|API_?KEY|ACCESS_?KEY"
    r"|PRIVATE|AUTH|AUTHORIZATION|COOKIE)S?([._-]|\d|$)",
    re.IGNORECASE,
)
# A number is hidden only under these: ``max_tokens`` and ``private`` are no secrets.
_SECRET_NUMBER = re.compile(
    r"((^|[._-])(PASS|PWD|PW)|PASS(WORD|WD|PHRASE)|SECRET|CREDENTIAL|API_?KEY|ACCESS_?KEY)"
    r"([._-]|\d|$)",
    re.IGNORECASE,
)
# The lengths are bounded, so that a text of any form takes time in proportion to its length.
# A password may hold an unescaped "@" or "/": what is hidden ends at the *last* "@" of the word.
_MONGO_CREDENTIALS = re.compile(r"(mongodb(?:\+srv)?://)[^\s\"<>]{0,1000}@", re.IGNORECASE)
_OTHER_CREDENTIALS = re.compile(
    r"(\b[a-z][a-z0-9+.-]{0,30}://)[^\s\"'<>/@]{1,1000}@", re.IGNORECASE
)
_SECRET_OPTIONS = re.compile(
    r"([?&](?:authMechanismProperties|tlsCertificateKeyFilePassword|proxyPassword)=)[^\s&\"'<>]+",
    re.IGNORECASE,
)
_OPTION = re.compile(r"([?&])([A-Za-z0-9_.-]+)=([^\s&\"'<>]+)")
# ``key=value``, as typed after ``with``; shlex may have quoted the whole word.
_TYPED = re.compile(r"('?)([A-Za-z_][\w.-]*)=(.+)", re.DOTALL)
# A password alone in a text is hidden too, unless it is so short that it may be a common word.
_SHORTEST_BARE_SECRET = 8
# It stands alone between these. A slash, a dot, a hyphen or a letter beside it makes it part of a
# path or of another word: to cut it out of there would tell what it is.
_BEFORE, _AFTER = r"(?<![^\s\"'`=,;:()\[\]{}<>|])", r"(?=[\s\"'`,;)\]}>|@&]|[.:!?]*(?:\s|$))"
_known_secrets: set[str] = set()
_known_pattern: re.Pattern[str] | None = None


def remember_secret(userinfo: str) -> None:
    """Hide the password of ``user:password`` from now on wherever it stands as a word."""
    global _known_pattern
    _, colon, password = userinfo.partition(":")
    for secret in (password, unquote(password)):
        if colon and len(secret) >= _SHORTEST_BARE_SECRET and secret not in _known_secrets:
            _known_secrets.add(secret)
            longest_first = sorted(_known_secrets, key=lambda one: (-len(one), one))
            words = "|".join(map(re.escape, longest_first))
            _known_pattern = re.compile(f"{_BEFORE}(?:{words}){_AFTER}")


def redact(text: str) -> str:
    """Return the text without user names, passwords and secret options of any URI in it.

    Passwords of 8 characters and more that ``remember_secret`` has seen are hidden where they stand
    as words of their own; a path that has one as a folder stays as it is.
    """
    text = _without_addresses(text)
    return _known_pattern.sub(HIDDEN, text) if _known_pattern is not None else text


def _without_addresses(text: str) -> str:
    if "://" in text:
        text = _MONGO_CREDENTIALS.sub(rf"\1{HIDDEN}@", text)
        text = _OTHER_CREDENTIALS.sub(rf"\1{HIDDEN}@", text)
        text = _SECRET_OPTIONS.sub(rf"\1{HIDDEN}", text)
        text = _OPTION.sub(_hide_option, text)
    return text


def _hide_option(found: re.Match[str]) -> str:
    mark, name, _ = found.groups()
    return f"{mark}{name}={HIDDEN}" if SECRET_NAME.search(name) else found[0]


def redact_tree(value: Any) -> Any:
    """Return nested dicts, lists and tuples with every string redacted.

    Of keys only addresses are: a key that happens to be a password is still a key.
    """
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {_redacted_key(key): redact_tree(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(redact_tree, value)) if type(value) in (list, tuple) else value
    return value


def _redacted_key(key: Any) -> Any:
    return _without_addresses(key) if isinstance(key, str) else redact_tree(key)


def without_secrets(value: Any, key: str = "") -> Any:
    """Return a recorded value as it may be shown.

    Args:
        value: Any value of a record.
        key: The name that it has there; dotted for a nested one. Under a secret name strings are
            hidden, and numbers unless they may be a count (``max_tokens``) or a switch.

    Returns:
        The value without credentials of addresses, without strings under secret names, at any
        depth, and without what ``key=value`` in a string gives a secret name.
    """
    if isinstance(value, Mapping):
        within = f"{key}." if SECRET_NAME.search(key) else ""
        return {_redacted_key(k): without_secrets(v, f"{within}{k}") for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_secrets(item, key) for item in value]
    if isinstance(value, str):
        return HIDDEN if value and SECRET_NAME.search(key) else redact(_hide_typed(value))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return HIDDEN if _SECRET_NUMBER.search(key) else value
    return value


def typed_without_secrets(words: Iterable[str]) -> list[str]:
    """Return the words of a command, with ``***`` for the value of each secret key."""
    return [redact(_hide_typed(word)) for word in words]


def _hide_typed(word: str) -> str:
    found = _TYPED.fullmatch(word)
    if found is None or not SECRET_NAME.search(found[2]):
        return word
    return f"{found[1]}{found[2]}={HIDDEN}{found[1]}"
