"""Experiments of the project, each with its configuration and a short main function."""
