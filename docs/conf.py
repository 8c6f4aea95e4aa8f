"""Sphinx: `make docs` builds the site, with warnings as errors."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

project = "Reproducible-ML"
author = "The Reproducible-ML developers"
copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = "Reproducible-ML"
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autoclass_content = "both"
# What is documented stands in the docstrings' own words.
napoleon_use_rtype = False
napoleon_use_ivar = True
