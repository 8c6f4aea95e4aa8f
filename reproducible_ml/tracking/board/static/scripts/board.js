/* Start the list, or the page of one run. */
"use strict";
requirejs(["jquery", "board/server"], function ($, server) {
    var single = document.getElementById("run");
    if (single === null) {
        requirejs(["runs/viewModel"], function (viewModel) {
            viewModel.initialize("#runs");
            viewModel.bind();
        });
        return;
    }
    requirejs(["runs/detailView/component"], function (detailView) {
        var id = single.getAttribute("data-run-id");
        server.run(id).done(function (run) {
            detailView.show(single, run, function () {
                window.location = server.address("runs");
            });
        }).fail(server.complain);
    });
});
