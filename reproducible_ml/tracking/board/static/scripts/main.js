/* Where RequireJS finds Sacredboard's modules and libraries. Sacredboard's own file of this name gives
   a path relative to the page, which is wrong on every page but the list. */
"use strict";
var require = (function () {
    var scripts = document.currentScript.src.replace(/\/[^/]*$/, "");
    var vendors = scripts.replace(/scripts$/, "vendors");
    return {
        baseUrl: scripts,
        paths: {
            "jquery": vendors + "/jquery/jquery-3.1.1.min",
            "knockout": vendors + "/knockout/knockout-min",
            "datatable": vendors + "/datatables/datatables.min",
            "datatables.net": vendors + "/datatables/DataTables-1.10.15/js/jquery.dataTables.min",
            "datatables-bootstrap":
                vendors + "/datatables/DataTables-1.10.15/js/dataTables.bootstrap.min",
            "bootstrap": vendors + "/bootstrap/js/bootstrap.min",
            "text": vendors + "/text",
            "plotly": vendors + "/plotly/plotly-latest.min"
        },
        shim: {"bootstrap": {"deps": ["jquery"]}}
    };
}());
