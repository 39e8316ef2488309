"""Hostile use, as tables of cases: what a hard tester does to the product, and whether it hangs, crashes or keeps silent."""
