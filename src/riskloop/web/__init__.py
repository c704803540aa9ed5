"""The dashboard: what serves, whether it is healthy, what changed and why, and where an approver decides."""
