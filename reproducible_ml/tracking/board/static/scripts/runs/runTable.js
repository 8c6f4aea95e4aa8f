/* The table of runs. Every value is escaped: Sacredboard inserts names, hosts and results as HTML. */
"use strict";
define(["jquery", "escapeHtml", "board/server", "board/format", "runs/detailView/component",
    "datatables.net", "datatables-bootstrap", "bootstrap"],
function ($, escapeHtml, server, format, detailView) {
    var runTable = {table: null, queryFilter: {type: "and", filters: []}};

    function text(value) {
        return escapeHtml(value === null || value === undefined ? "" : value);
    }

    function time(value) {
        return "<span class=\"number\" title=\"" + text(value) + "\">" + text(format.time(value)) + "</span>";
    }

    function status(value) {
        return "<span class=\"status status-" + text(value) + "\">" + text(value) + "</span>";
    }

    function link(id) {
        var address = server.address("runs/" + encodeURIComponent(id));
        return "<a class=\"number\" href=\"" + text(address) + "\">" + text(id) + "</a>";
    }

    /* The names are fields of a run; the server sorts by them. */
    var columns = [
        {data: null, orderable: false, defaultContent: "", className: "details-control"},
        {data: "id", name: "_id", render: link},
        {data: "experiment_name", name: "experiment.name", render: text},
        {data: "status", name: "status", render: status},
        {data: "command", name: "command", render: text},
        {data: "start_time", name: "start_time", render: time},
        {data: "heartbeat", name: "heartbeat", render: time},
        {data: "hostname", name: "hostname", render: text},
        {data: "result", name: "result", render: text, className: "result"}
    ];

    function toggle(row) {
        var line = $(row.node());
        if (row.child.isShown()) {
            detailView.hide(row.child()[0]);
            row.child.hide();
            line.removeClass("shown");
            return;
        }
        server.run(row.data().id).done(function (run) {
            row.child($("<div>"), "details").show();
            line.addClass("shown");
            detailView.show(row.child().find("div")[0], run, runTable.reload);
        }).fail(server.complain);
    }

    runTable.reload = function () {
        runTable.table.ajax.reload(null, false);
    };

    runTable.initTable = function (element) {
        /* What goes wrong is said on the page, not in an alert that blocks it. */
        $.fn.dataTable.ext.errMode = "none";
        $(element).on("xhr.dt", function (event, settings, answer, xhr) {
            if (xhr.status === 200) {
                server.calm();
            } else {
                server.complain(xhr);
            }
        });
        runTable.table = $(element).DataTable({
            searching: false,
            serverSide: true,
            processing: false,
            autoWidth: false,
            columns: columns,
            order: [[6, "desc"]],
            pageLength: 25,
            language: {emptyTable: "No runs yet.", zeroRecords: "No run passes the filters."},
            ajax: {
                url: server.address("api/run"),
                data: function (request) {
                    request.queryFilter = JSON.stringify(runTable.queryFilter);
                }
            }
        });
        $(element).on("click", "tbody > tr[role=row]", function (event) {
            if ($(event.target).closest("a").length === 0) {
                toggle(runTable.table.row(this));
            }
        });
        return runTable.table;
    };

    return runTable;
});
