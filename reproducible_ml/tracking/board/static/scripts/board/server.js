/* Requests to the board, and what it says when it refuses one. */
"use strict";
define(["jquery"], function ($) {
    var server = {};

    /* The address of a page; Sacredboard's "/api/…" is wrong under --sub-url. */
    server.address = function (path) {
        return document.body.getAttribute("data-root") + path;
    };

    server.runAddress = function (id) {
        return server.address("api/run/" + encodeURIComponent(id));
    };

    server.run = function (id, follow) {
        return $.getJSON(server.runAddress(id), follow ? {follow: 1} : {}).then(function (answer) {
            return answer.data[0];
        });
    };

    server.remove = function (id) {
        return $.ajax({method: "DELETE", url: server.runAddress(id), dataType: "text"});
    };

    server.reason = function (xhr) {
        if (xhr.status === 0) {
            return "The board does not answer. Is it still running?";
        }
        return (xhr.responseJSON && xhr.responseJSON.error) || xhr.responseText || xhr.statusText;
    };

    server.complain = function (xhr) {
        $("#message").text(server.reason(xhr)).prop("hidden", false);
    };

    server.calm = function () {
        $("#message").prop("hidden", true);
    };

    return server;
});
