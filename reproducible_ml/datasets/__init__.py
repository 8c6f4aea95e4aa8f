"""Data sets: sources of rows, and their serialization as records."""
