"""`python -m usbrec.cli`."""

from usbrec.cli import main

main()
