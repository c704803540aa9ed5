"""Rows in: files, splits, the embedded portfolio and the ways its world changes."""
