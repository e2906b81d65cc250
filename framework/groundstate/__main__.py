"""`python -m groundstate`."""

from groundstate.cli import main

main()
