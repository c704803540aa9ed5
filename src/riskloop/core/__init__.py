"""The vocabulary and the maths: no I/O, no clock, no framework."""
