"""Measurements, side by side with peers or settings, one command each."""
