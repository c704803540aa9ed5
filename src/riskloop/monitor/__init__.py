"""Compares a window of production with history: every check gives findings, none raises."""
