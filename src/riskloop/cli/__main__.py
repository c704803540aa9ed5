"""`python -m riskloop.cli`: the same as `riskloop`."""

from riskloop.cli import main

main()
