/* The details of one run. A run that is still running is asked for again every few seconds: output,
   artifacts and status follow it, what the visitor has opened stays open. */
"use strict";
define(["jquery", "knockout", "plotly", "text!runs/detailView/template.html", "board/server",
    "board/format", "bootstrap", "runs/dictionaryBrowser/component", "runs/metricsViewer/component"],
function ($, ko, Plotly, template, server, format) {
    // The library's logo leads to its makers' site, and a button would send them the points.
    Plotly.setPlotConfig({
        displaylogo: false, showLink: false, modeBarButtonsToRemove: ["sendDataToCloud"]
    });

    var POLL_MILLISECONDS = 5000;
    var shown = 0;

    function DetailView(run, onDeleted) {
        var self = this;
        shown += 1;
        self.key = "detail-" + shown;
        self.run = run;
        self.format = format;
        self.status = ko.observable(run.status);
        self.output = ko.observable(run.object.captured_out);
        self.heartbeat = ko.observable(run.heartbeat);
        self.images = ko.observableArray();
        self.files = ko.observableArray();
        self.follow = ko.observable(run.is_alive);
        self.outputAddress = server.runAddress(run.id) + "/output";
        self.logs = (run.object.info.tensorflow || {}).logdirs || [];
        self.problem = ko.observable("");
        self.takeArtifacts(run.artifacts);
        self.onDeleted = onDeleted;
        if (run.is_alive) {
            self.timer = setInterval(self.refresh.bind(self), POLL_MILLISECONDS);
        }
    }

    DetailView.prototype.takeArtifacts = function (artifacts) {
        if (artifacts.length !== this.images().length + this.files().length) {
            this.images(artifacts.filter(function (one) { return one.is_image; }));
            this.files(artifacts.filter(function (one) { return !one.is_image; }));
        }
    };

    DetailView.prototype.refresh = function () {
        var self = this;
        server.run(self.run.id, true).done(function (run) {
            self.status(run.status);
            self.output(run.object.captured_out);
            self.heartbeat(run.heartbeat);
            self.takeArtifacts(run.artifacts);
            if (!run.is_alive) {
                clearInterval(self.timer);
            }
        });
    };

    DetailView.prototype.remove = function () {
        var self = this;
        if (!confirm("Delete run " + self.run.id + " (" + self.run.experiment_name +
            ") with its metrics and artifacts? This cannot be undone.")) {
            return;
        }
        server.remove(self.run.id).done(function () {
            clearInterval(self.timer);
            self.onDeleted();
        }).fail(function (xhr) {
            self.problem(server.reason(xhr));
        });
    };

    DetailView.prototype.startTensorboard = function (index) {
        var self = this;
        var page = window.open("about:blank");
        self.problem("");
        $.post(server.address("tensorboard/start/" + encodeURIComponent(self.run.id) + "/" + index))
            .done(function (answer) {
                page.location = answer.url;
            }).fail(function (xhr) {
                page.close();
                self.problem(server.reason(xhr));
            });
    };

    ko.bindingHandlers.scrolledDown = {
        update: function (element, follow) {
            ko.utils.unwrapObservable(ko.contextFor(element).$data.output);
            if (ko.unwrap(follow())) {
                element.scrollTop = element.scrollHeight;
            }
        }
    };

    return {
        show: function (element, run, onDeleted) {
            $(element).html(template);
            ko.applyBindings(new DetailView(run, onDeleted), element.firstElementChild);
            $(element).on("shown.bs.tab", function () {
                /* A plot that was drawn while its tab was hidden has a size of its own invention. */
                $(element).find(".js-plotly-plot:visible").each(function (i, plot) {
                    Plotly.Plots.resize(plot);
                });
                $(element).find("pre.follow:visible").each(function (i, pre) {
                    pre.scrollTop = pre.scrollHeight;
                });
            });
        },
        hide: function (element) {
            var view = $(element).find(".detail-view")[0];
            if (view) {
                clearInterval(ko.dataFor(view).timer);
                ko.cleanNode(view);
            }
        }
    };
});
