"""The experiments of the project: configuration and a short main each."""
