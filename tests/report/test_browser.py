"""A report in a real Chromium: the slider, the curves, narrow and wide, light and dark."""

import re
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from reproducible_ml.report.page import make_report
from reproducible_ml.tracking.runs.opening import open_store
from reproducible_ml.tracking.runs.run import load_run
from tests.browser import output_dir
from tests.report.recorded_runs import HOSTILE, record_run


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """A report on two runs, one with hostile names, and a failed one."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ids = [record_run(), record_run(lr=1.0, name=HOSTILE), record_run(fail="too hot")]
        with open_store("runs") as store:
            page = make_report([load_run(one, store) for one in ids])
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


@pytest.fixture
def page(browser, page_file):
    browser.get_log("browser")
    browser.get(page_file.as_uri())
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def shown_grey(browser):
    """Return the grey of the one picture of the first series that is seen."""
    return browser.execute_script(
        "const all = [...document.querySelectorAll('.frames')[0].querySelectorAll('img')];"
        "const seen = all.filter(one => one.offsetWidth > 0);"
        "if (seen.length !== 1) { return `${seen.length} pictures are seen`; }"
        "const canvas = document.createElement('canvas');"
        "const context = canvas.getContext('2d');"
        "context.drawImage(seen[0], 0, 0);"
        "return context.getImageData(0, 0, 1, 1).data[0];"
    )


def test_the_arrow_keys_move_through_the_pictures(page):
    slider = page.find_element(By.CSS_SELECTOR, "input[type=range]")
    output = page.find_element(By.CSS_SELECTOR, ".slide output")
    assert (shown_grey(page), output.text) == (120, "30 (4 of 4)")
    slider.send_keys(Keys.ARROW_LEFT)
    assert (shown_grey(page), output.text) == (80, "20 (3 of 4)")
    assert slider.get_attribute("aria-valuetext") == "step 20"
    slider.send_keys(Keys.HOME)
    assert (shown_grey(page), output.text) == (0, "0 (1 of 4)")
    label = page.find_element(By.CSS_SELECTOR, f"label[for={slider.get_attribute('id')}]")
    assert label.text == "Step"


def test_the_arrow_keys_and_the_pointer_read_a_curve(page):
    area = page.find_element(By.CSS_SELECTOR, ".area")
    readout = page.find_element(By.CSS_SELECTOR, ".readout")
    assert "Run 1: 0.041666666666666664 at step 11" in readout.text
    page.execute_script("arguments[0].focus()", area)
    area.send_keys(Keys.HOME, Keys.ARROW_RIGHT)
    assert readout.text.split("\n")[0].startswith("Step 1")
    assert "Run 1: 0.25" in readout.text
    assert "Run 2: 0.5" in readout.text
    assert area.get_attribute("aria-valuenow") == "1"
    page.execute_script("document.activeElement.blur()")
    lines = page.find_element(By.CSS_SELECTOR, ".lines")
    page.execute_script(
        "const box = arguments[0].getBoundingClientRect();"
        "arguments[0].dispatchEvent(new PointerEvent('pointermove', {bubbles: true,"
        " clientX: box.left + box.width * 5 / 11, clientY: box.top + 5}))",
        lines,
    )
    assert readout.text.split("\n")[0].startswith("Step 5")


def test_nothing_is_asked_for_and_nothing_complains(page, page_file):
    loaded = page.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert [one for one in loaded if not one.startswith("data:")] == []
    text = page_file.read_text(encoding="utf-8")
    assert not re.findall(
        r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:|#)[^"'\s>)]+""", _markup(text)
    )
    assert "http://" not in text
    assert "https://" not in text
    assert [entry["message"] for entry in page.get_log("browser")] == []


def _markup(text):
    """Return the tags alone, without what a record says between them."""
    return " ".join(re.findall(r"<[a-z][^>]*>", text))


def test_markup_in_a_record_does_nothing(page):
    assert page.title == "Run 1, 2, 3 of report_toy"
    assert page.find_elements(By.CSS_SELECTOR, "img[src=x]") == []
    assert HOSTILE in page.find_element(By.ID, "configuration").text


def test_the_policy_of_the_page_stops_any_other_script_and_any_request(page):
    page.execute_script(
        "const script = document.createElement('script');"
        "script.textContent = \"document.title = 'taken'\";"
        "document.body.append(script);"
        "const image = document.createElement('img');"
        "image.src = 'http://127.0.0.1:9/x.png';"
        "document.body.append(image);"
    )
    assert page.title != "taken"
    complaints = " ".join(entry["message"] for entry in page.get_log("browser"))
    assert complaints.count("Content Security Policy") == 2


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_narrow_and_wide_light_and_dark(page, width, scheme):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    widths = page.execute_script(
        "const root = document.documentElement;"
        "return [window.innerWidth, root.scrollWidth, root.clientWidth]"
    )
    assert widths == [width, widths[2], widths[2]], "nothing is wider than the window"
    paper = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    red = int(re.findall(r"\d+", paper)[0])
    assert red > 200 if scheme == "light" else red < 50
    assert page.save_screenshot(str(output_dir() / f"report-{width}-{scheme}.png"))


def test_on_a_telephone_a_row_of_the_differences_is_seen_whole(page):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    rows = page.execute_script(
        "return [...document.querySelectorAll('.compared tbody tr')].map(row => {"
        "  const [name, ...cells] = [...row.children].map(one => one.getBoundingClientRect());"
        "  const where = row.querySelector('.where');"
        "  const box = where && where.getBoundingClientRect();"
        "  return {right: Math.max(name.right, ...cells.map(one => one.right)),"
        "          below: !box || box.top >= name.bottom - 1};"
        "})"
    )
    assert len(rows) > 3
    assert all(row["right"] <= 400 and row["below"] for row in rows), rows
    assert page.find_elements(By.CSS_SELECTOR, ".compared td.where")
    sides = page.execute_script(
        "return [...document.querySelectorAll('#differences .scroll')]"
        ".map(one => one.scrollWidth <= one.clientWidth)"
    )
    assert all(sides)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_and_lines_stand_out_from_their_ground(page, scheme):
    """Contrast as WCAG 2 computes it: 4.5 for texts, 3 for lines."""
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    colours = page.execute_script(
        "const style = getComputedStyle(document.documentElement);"
        "const names = ['paper', 'card', 'ink', 'soft', 'good', 'bad', 'link', 'changed',"
        " ...[0, 1, 2, 3, 4, 5].map(n => `line-${n}`)];"
        "return Object.fromEntries(names.map(n => [n, style.getPropertyValue(`--${n}`).trim()]))"
    )
    for ground in ("paper", "card"):
        for text in ("ink", "soft", "good", "bad", "link"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        for number in range(6):
            assert contrast(colours[f"line-{number}"], colours[ground]) >= 3, (number, ground)
    assert contrast(colours["ink"], colours["changed"]) >= 4.5
    assert contrast(colours["soft"], colours["changed"]) >= 4.5


def contrast(one, other):
    lights = sorted((luminance(one), luminance(other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour):
    digits = colour.lstrip("#")
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    parts = [int(digits[index : index + 2], 16) / 255 for index in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_it_prints_without_sliders(page):
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    try:
        assert not page.find_element(By.CSS_SELECTOR, ".slide").is_displayed()
        assert shown_grey(page) == 120
        assert page.find_element(By.CSS_SELECTOR, "#curves .line").is_displayed()
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def test_the_file_is_whole_without_its_folder(page_file, browser, tmp_path):
    copy = Path(tmp_path, "elsewhere.html")
    copy.write_bytes(page_file.read_bytes())
    browser.get(copy.as_uri())
    drawn = browser.execute_script(
        "return [...document.images].every(image => image.complete && image.naturalWidth > 0)"
    )
    assert drawn
