"""The figures that were taken while a GAN trained."""

import resource
import signal

from reproducible_ml.models.exact.figure_log import FigureLog, Point, read_figures
from tests import warm

POINTS = [Point("small_recall", step / 7, step) for step in range(1, 200)]


def test_a_full_disk_while_a_training_goes_on_loses_no_figure(tmp_path):
    log = FigureLog(tmp_path, 0)
    for point in POINTS:
        log.write(*point)
    log.close()
    process = warm.process(_go_on_where_no_file_may_grow, tmp_path)
    process.start()
    process.join()
    assert process.exitcode == 1
    assert read_figures(tmp_path) == POINTS
    log = FigureLog(tmp_path, 5)
    log.close()
    assert log.points == read_figures(tmp_path) == POINTS[:5]


def _go_on_where_no_file_may_grow(model_dir):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    FigureLog(model_dir, 300)
