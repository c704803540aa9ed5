"""The only place where the stages meet: `cycle` is the loop itself, the other files are its steps.

Nothing is imported here: who scores with the champion does not need what trains one.
"""
