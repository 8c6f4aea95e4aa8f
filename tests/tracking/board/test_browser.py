"""The board in a real Chromium, over a folder and over a real database."""

import warnings

import pytest
import requests
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.ui import Select, WebDriverWait
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from tests.browser import output_dir
from tests.tracking.board import toy

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from sacred.observers import FileStorageObserver

PATIENCE_SECONDS = 15
POLL_SECONDS = 0.05


class Page:
    """What a visitor does, each action waiting for what it leads to."""

    def __init__(self, browser, address):
        self.browser, self.address = browser, address
        browser.get_log("browser")  # what earlier pages said

    def until(self, condition):
        return WebDriverWait(self.browser, PATIENCE_SECONDS, POLL_SECONDS).until(condition)

    def open_list(self):
        self.browser.get(f"{self.address}runs")
        self.until(lambda b: self.rows())
        return self

    def open_run(self, run_id):
        self.browser.get(f"{self.address}runs/{run_id}")
        self.until(expected.presence_of_element_located((By.CSS_SELECTOR, ".detail-view h3")))
        return self

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def click(self, selector):
        self.until(expected.element_to_be_clickable((By.CSS_SELECTOR, selector))).click()

    def rows(self):
        """Return the text of the cells; one script, so that no redraw comes in between."""
        return self.browser.execute_script(
            "return Array.from(document.querySelectorAll('#runs tbody > tr[role=row]'))"
            ".map(row => Array.from(row.cells).map(cell => cell.textContent.trim()))"
        )

    def names(self):
        return [row[2] for row in self.rows()]

    def open_details(self, run_id):
        line = f"//table[@id='runs']/tbody/tr[td[2][normalize-space()='{run_id}']]/td[1]"
        self.until(expected.element_to_be_clickable((By.XPATH, line))).click()
        self.until(expected.visibility_of_element_located((By.CSS_SELECTOR, ".detail-view h3")))
        return self

    def tab(self, name):
        self.click(f"[data-tab={name}]")
        pane = self.one(f"[data-tab={name}]").get_attribute("href").split("#")[1]
        return self.until(expected.visibility_of_element_located((By.ID, pane)))

    def keep_screenshot(self, name):
        self.browser.execute_script("window.scrollTo(0, 0)")
        assert self.browser.save_screenshot(str(output_dir() / f"board-{name}.png"))

    def complaints(self):
        return [entry["message"] for entry in self.browser.get_log("browser")]


@pytest.fixture
def page(browser, board):
    return Page(browser, board)


def test_the_list_shows_every_run_with_its_state_and_no_name_as_markup(page, recorded):
    page.open_list()
    rows = {row[2]: row for row in page.rows()}
    assert rows["digits"][3] == "COMPLETED"
    assert rows["killed"][3] == rows["silent"][3] == "DEAD"
    assert rows["alive"][3] == "RUNNING"
    assert rows["waiting"][3] == "QUEUED"
    assert rows["number"][8] == "0.25"
    assert '"frechet": 12.5' in rows["digits"][8]
    assert rows[toy.HOSTILE][8] == toy.HOSTILE
    page.keep_screenshot(f"list-{recorded.kind}")
    assert page.all("img[src='x']") == []
    assert page.complaints() == []


def test_markup_in_a_record_stays_text_on_every_tab(page, recorded):
    page.open_run(recorded.ids["hostile"])
    tabs = [tab.get_attribute("data-tab") for tab in page.all("[data-tab]") if tab.is_displayed()]
    assert len(tabs) == 9
    for tab in tabs:
        pane = page.tab(tab)
        if tab == "metrics":
            page.click(".plots input[type=checkbox]")
            page.until(lambda b: len(page.all(".scatterlayer .trace")) == 1)
        if tab in ("config", "output", "result"):
            assert toy.HOSTILE in pane.text
    assert page.all("img[src='x']") == []
    assert page.browser.title.startswith("Run")
    assert page.complaints() == []


def test_the_page_of_a_living_run_follows_it(page, recorded):
    observer = recorded.observer()
    run_id = toy.started(observer, toy.now(), "followed")
    page.open_run(run_id)
    output = page.tab("output")
    page.until(lambda b: "still here" in output.text)
    observer.heartbeat_event({}, "still here\nand further on\n", toy.now(), None)
    page.until(lambda b: "and further on" in output.text)
    observer.completed_event(toy.now(), 1)
    page.until(lambda b: "COMPLETED" in page.one(".detail-view h3").text)
    recorded.store.delete(run_id)


def test_nothing_comes_from_another_machine(page, recorded):
    page.open_list().open_details(recorded.ids["trained"]).tab("metrics")
    loaded = page.browser.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert len(loaded) > 20
    assert [one for one in loaded if not one.startswith((page.address, "data:", "blob:"))] == []


def test_a_click_on_a_column_sorts_by_it(page):
    page.open_list()
    heading = "//th[text()='Experiment']"
    page.browser.find_element(By.XPATH, heading).click()
    page.until(lambda b: page.names() == sorted(page.names()) and len(page.names()) == 8)
    page.browser.find_element(By.XPATH, heading).click()
    page.until(lambda b: page.names() == sorted(page.names(), reverse=True))


def test_a_filter_and_the_status_boxes_leave_what_passes_them(page):
    page.open_list()
    page.one("#queryField").send_keys("lr")
    Select(page.one("#queryOperator")).select_by_visible_text("<")
    page.one("#queryValue").send_keys("0.25")
    page.click("form button[type=submit]")
    page.until(lambda b: set(page.names()) == {"digits", "broken"})
    assert "config.lr" in page.one(".query-filter").text
    page.browser.find_element(By.XPATH, "//label[contains(., 'Failed')]/input").click()
    page.until(lambda b: page.names() == ["digits"])
    page.click(".query-filter a")
    page.until(lambda b: len(page.names()) == 7)
    assert "broken" not in page.names()
    assert page.complaints() == []


def test_a_filter_that_means_nothing_is_explained_on_the_page(page):
    page.open_list()
    page.one("#queryField").send_keys(".command")
    Select(page.one("#queryOperator")).select_by_visible_text("regex")
    page.one("#queryValue").send_keys('"("')
    page.click("form button[type=submit]")
    message = page.until(expected.visibility_of_element_located((By.ID, "message")))
    assert "regular expression" in message.text


def test_the_details_show_config_result_output_and_artifacts(page, recorded):
    page.open_list().open_details(recorded.ids["trained"])
    config = page.tab("config")
    page.until(lambda b: "seed" in config.text)
    assert "0.01" in config.text
    page.keep_screenshot(f"detail-{recorded.kind}")
    result = page.tab("result")
    assert "frechet" in result.text
    assert "12.5" in result.text
    assert "[object Object]" not in page.one("body").text
    output = page.tab("output")
    assert "first line" in output.text
    pane = page.tab("artifacts")
    page.until(lambda b: all(image_is_drawn(b, one) for one in page.all("img[src*='grid_']")))
    assert len(page.all("img[src*='grid_']")) == 2
    assert {"notes.txt", "page.html"} <= {
        link.text for link in pane.find_elements(By.TAG_NAME, "a")
    }
    page.keep_screenshot(f"artifacts-{recorded.kind}")


def image_is_drawn(browser, image):
    return browser.execute_script("return arguments[0].naturalWidth > 0", image)


def test_ten_thousand_points_are_plotted_and_nan_is_a_gap(page, recorded):
    page.open_run(recorded.ids["trained"])
    page.tab("metrics")
    page.click(".plots input[type=checkbox]")
    curve = page.until(
        lambda b: b.execute_script(
            "var plot = document.querySelector('.js-plotly-plot');"
            "var trace = plot && plot.data.find(one => one.name === 'loss/generator');"
            "return trace && trace.y.length > 1 ? [trace.x, trace.y] : null"
        )
    )
    steps, values = curve
    assert steps == list(range(toy.POINTS))
    assert [i for i, value in enumerate(values) if value is None] == list(range(4000, 5000))
    # Each curve is drawn in a piece before and a piece after its gap.
    page.until(lambda b: len(page.all(".scatterlayer path.js-line")) == 4)
    width = page.one(".js-plotly-plot .main-svg").size["width"]
    assert width > 600, "the plot fills its column"
    page.keep_screenshot(f"metrics-{recorded.kind}")
    page.click(".plots input[value=date]")
    page.until(
        lambda b: b.execute_script(
            "var plot = document.querySelector('.js-plotly-plot');"
            "return plot.data.length == 2 && String(plot.data[0].x[0]).startsWith('20')"
        )
    )
    assert page.complaints() == []


def test_a_run_is_deleted_only_after_a_yes(page, recorded):
    run_id = toy.record(recorded.observer(), lambda: 1, "to be deleted")
    page.open_list().open_details(run_id)
    page.click(".detail-view .delete")
    question = page.until(expected.alert_is_present())
    assert "to be deleted" in question.text
    question.dismiss()
    assert "to be deleted" in page.names()
    page.click(".detail-view .delete")
    page.until(expected.alert_is_present()).accept()
    page.until(lambda b: "to be deleted" not in page.names() and len(page.names()) == 8)
    assert page.complaints() == []


def test_a_refused_deletion_is_explained(page, recorded):
    run_id = toy.started(recorded.observer(), toy.now(), "at work")
    page.open_run(run_id)
    page.click(".detail-view .delete")
    page.until(expected.alert_is_present()).accept()
    page.until(lambda b: "still running" in page.one(".detail-view .alert").text)


def test_a_missing_run_has_a_page_that_leads_back(page):
    page.browser.get(f"{page.address}runs/12345")
    assert "There is no run 12345" in page.one("#not-found").text
    page.browser.find_element(By.LINK_TEXT, "All runs").click()
    page.until(lambda b: page.rows())


def test_everything_works_under_a_sub_url(browser, recorded, start_board):
    run_id = toy.record(recorded.observer(), lambda: 1, "below a path")
    under = start_board(*recorded.options, "--sub-url", "/lab")
    page = Page(browser, f"{under.url}/").open_list().open_details(run_id)
    page.click(".detail-view .delete")
    page.until(expected.alert_is_present()).accept()
    page.until(lambda b: "below a path" not in page.names())
    assert page.complaints() == []


def test_the_button_of_the_tensorflow_tab_shows_the_points_until_the_board_ends(
    browser, start_board, tmp_path
):
    # A name that a shell would cut in two.
    logs = tmp_path / "my logs"
    writer = EventFileWriter(str(logs))
    value = Summary.Value(tag="critic_loss", simple_value=0.25)
    writer.add_event(Event(step=7, wall_time=1.0, summary=Summary(value=[value])))
    writer.close()

    def main(_run):
        _run.info["tensorflow"] = {"logdirs": [str(logs), str(tmp_path / "removed")]}

    (tmp_path / "runs").mkdir()
    run_id = toy.record(FileStorageObserver(str(tmp_path / "runs")), main, "logged", {})
    # Of an environment that is not activated.
    started = start_board("-F", str(tmp_path / "runs"))
    page = Page(browser, started.url).open_run(run_id)
    before = browser.current_window_handle
    buttons = page.tab("logs").find_elements(By.TAG_NAME, "button")
    buttons[1].click()
    page.until(
        lambda b: f"{tmp_path / 'removed'}, is not on this machine." in page.one("body").text
    )
    for _ in range(2):
        buttons[0].click()
        patient = WebDriverWait(browser, 60)
        patient.until(lambda b: len(b.window_handles) == 2)
        browser.switch_to.window(next(one for one in browser.window_handles if one != before))
        patient.until(lambda b: b.current_url.startswith("http://127.0.0.1:"))
        address = browser.current_url.partition("#")[0]
        browser.close()
        browser.switch_to.window(before)
    points = f"{address}data/plugin/scalars/scalars?run=.&tag=critic_loss"
    assert requests.get(points, timeout=30).json() == [[1.0, 7, 0.25]]
    started.stop()
    WebDriverWait(browser, 10).until(lambda b: not answers(address))


def answers(address):
    try:
        return requests.get(address, timeout=5).ok
    except requests.RequestException:
        return False
