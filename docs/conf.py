"""Sphinx: `make docs` builds the site, with warnings as errors."""

import inspect
import os

import click

from reproducible_ml.cli import COMMANDS, main

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

project = "Reproducible-ML"
author = "The Reproducible-ML developers"
copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = "Reproducible-ML"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autoclass_content = "both"
# A constructor without words of its own has those of its class, not those of its parent's.
autodoc_inherit_docstrings = False
# What is documented stands in the docstrings' own words.
napoleon_use_rtype = False
napoleon_use_ivar = True


def help_of(name):
    """Return a command's section: its help as the terminal shows it."""
    command = main.get_command(click.Context(main), name)
    context = click.Context(command, info_name=f"reproducible-ml {name}", terminal_width=90)
    return f"## {name}\n\n```text\n{command.get_help(context)}\n```\n"


def add_commands(app, name, source):
    """Append every command's help to the page ``commands``."""
    if name == "commands":
        source[0] += "\n" + "\n".join(help_of(command) for command in sorted(COMMANDS))


def keep_bars(app, what, name, thing, options, lines):
    """Keep |x| in a formula; to reStructuredText it is the name of a substitution."""
    lines[:] = [line if "`" in line else line.replace("|", "\\|") for line in lines]


def leave_out_summaries(app, what, name, thing, options, lines):
    """Of a constructor with arguments show these alone; the class says what it makes."""
    words = inspect.getdoc(thing.__init__) or "" if what == "class" else ""
    summary = words.partition("\n")[0]
    if "\nArgs:" in words and summary in lines[1:]:
        lines.remove(summary)


def setup(app):
    """Register what is made while the site is built."""
    app.connect("autodoc-process-docstring", leave_out_summaries)
    app.connect("autodoc-process-docstring", keep_bars)
    app.connect("source-read", add_commands)
