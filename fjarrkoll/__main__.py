"""`python -m fjarrkoll` is `fjarrkoll`."""

from fjarrkoll.cli import main

main()
