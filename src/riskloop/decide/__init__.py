"""Findings in, diagnosis and action out: pure."""
