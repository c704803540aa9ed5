"""History into a candidate: learners, validation, calibration, threshold."""
