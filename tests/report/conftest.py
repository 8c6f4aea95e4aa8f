"""Chromium for the tests of reports."""

from tests.browser import browser  # noqa: F401
