"""Measurements that compare this project with peers or settings, one command each."""
