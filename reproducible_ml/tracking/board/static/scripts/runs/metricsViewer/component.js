/* Offers a run's metrics for plotting; each is fetched when it is chosen, or chosen again. */
"use strict";
define(["jquery", "knockout", "text!runs/metricsViewer/template.html", "runs/metricsViewer/ProxiedMetric",
    "board/server", "metricsPlot/component"],
function ($, ko, template, ProxiedMetric, server) {
    class BoardMetric extends ProxiedMetric {
        /* Sacredboard's own puts the id of the run into a relative address as it is. */
        fetch() {
            var self = this;
            if (self._fetchingInProgress) {
                return;
            }
            self._fetchingInProgress = true;
            $.getJSON(server.runAddress(self._runId) + "/metric/" + self._metricId).done(function (data) {
                self._fetched = true;
                self._steps(data.steps);
                self._timestamps(data.strtimestamps.map(function (one) { return new Date(one); }));
                self._values(data.values);
            }).fail(server.complain).always(function () {
                self._fetchingInProgress = false;
            });
        }
    }

    ko.components.register("metrics-viewer", {
        viewModel: function (params) {
            this.metrics = ko.observableArray((params.run.info.metrics || []).map(function (metric) {
                return new BoardMetric(ko.observable(metric.name), params.id, metric.id);
            }));
        },
        template: template
    });
});
