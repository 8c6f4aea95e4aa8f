/* How times and sizes are written. */
"use strict";
define([], function () {
    function two(number) {
        return (number < 10 ? "0" : "") + number;
    }

    return {
        /* An ISO time in UTC, as "2026-01-31 13:05:00" in the visitor's zone; sorts as it reads. */
        time: function (iso) {
            if (!iso) {
                return "";
            }
            var t = new Date(iso);
            return t.getFullYear() + "-" + two(t.getMonth() + 1) + "-" + two(t.getDate()) + " " +
                two(t.getHours()) + ":" + two(t.getMinutes()) + ":" + two(t.getSeconds());
        },
        size: function (bytes) {
            var units = ["B", "kB", "MB", "GB"];
            var power = Math.min(3, Math.floor(Math.log(Math.max(bytes, 1)) / Math.log(1000)));
            return (bytes / Math.pow(1000, power)).toFixed(power ? 1 : 0) + " " + units[power];
        }
    };
});
