"""`python -m usbrec`."""

from usbrec.cli import main

main()
