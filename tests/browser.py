"""A headless Chromium for tests: Debian's, driven by Selenium, with a profile of its own."""

import os
import shutil
from pathlib import Path

import pytest

from tests.require import skip_or_fail

ROOT = Path(__file__).resolve().parent.parent
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1000",
]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
DRIVER = ("chromedriver", "chromium-driver")


def output_dir():
    """Return the folder that screenshots are kept in."""
    folder = Path(os.environ.get("REPRODUCIBLE_ML_OUTPUT", ROOT / "ci-output"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def found(names):
    """Return the first of the programs that is installed."""
    return next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Start Chromium once; each test opens its own page."""
    chromium, driver = found(CHROMIUM), found(DRIVER)
    if chromium is None or driver is None:
        skip_or_fail(
            "browser", "no chromium and chromedriver on the PATH (apt install chromium-driver)"
        )
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    yield started
    started.quit()
