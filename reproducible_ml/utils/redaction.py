"""Removal of credentials from any text, and of values under secret names from any record."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

HIDDEN = "***"
# Matches names of variables and configuration keys with one of these words at their end, or before
# a separator or digit.
SECRET_NAME = re.compile(
    r"((^|[._-])(PASS|PWD)|PASS(WORD|WD|PHRASE)|SECRET|TOKEN|CREDENTIAL|API_?KEY|ACCESS_?KEY"
    r"|PRIVATE|AUTH|AUTHORIZATION|COOKIE)S?([._-]|\d|$)",
    re.IGNORECASE,
)
# A password may hold an unescaped "@" or "/": what is hidden ends at the *last* "@" of the word.
_MONGO_CREDENTIALS = re.compile(r"(mongodb(?:\+srv)?://)[^\s\"<>]*@", re.IGNORECASE)
_OTHER_CREDENTIALS = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s\"'<>/@]+@", re.IGNORECASE)
_SECRET_OPTIONS = re.compile(
    r"([?&](?:authMechanismProperties|tlsCertificateKeyFilePassword|proxyPassword)=)[^\s&\"'<>]+",
    re.IGNORECASE,
)
# A password alone in a text is hidden too, unless it is so short that it may be a common word.
_SHORTEST_BARE_SECRET = 8
_known_secrets: set[str] = set()


def remember_secret(userinfo: str) -> None:
    """Hide the password of ``user:password`` wherever it occurs from now on."""
    _, colon, password = userinfo.partition(":")
    for secret in (password, unquote(password)):
        if colon and len(secret) >= _SHORTEST_BARE_SECRET:
            _known_secrets.add(secret)


def redact(text: str) -> str:
    """Return the text without user names, passwords and secret options of any URI in it.

    Passwords of 8 characters and more that ``remember_secret`` has seen are hidden wherever they
    occur.
    """
    if "://" in text:
        text = _MONGO_CREDENTIALS.sub(rf"\1{HIDDEN}@", text)
        text = _OTHER_CREDENTIALS.sub(rf"\1{HIDDEN}@", text)
        text = _SECRET_OPTIONS.sub(rf"\1{HIDDEN}", text)
    for secret in _known_secrets:
        if secret in text:
            text = text.replace(secret, HIDDEN)
    return text


def redact_tree(value: Any) -> Any:
    """Return nested dicts, lists and tuples with every string redacted, keys included."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact_tree(key): redact_tree(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(redact_tree, value)) if type(value) in (list, tuple) else value
    return value


def without_secrets(value: Any, key: str = "") -> Any:
    """Return a recorded value without credentials of addresses and strings under secret names."""
    if isinstance(value, Mapping):
        return {redact(str(k)): without_secrets(v, str(k)) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_secrets(item, key) for item in value]
    if isinstance(value, str):
        return HIDDEN if value and SECRET_NAME.search(key) else redact(value)
    return value
