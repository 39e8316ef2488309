"""Evaluation: outcomes in, numbers that can be believed out.

`ieval` plays and judges the rows (METHOD 1.5), `metrics` reads figures out of the outcomes, `stats` puts intervals on them, `compare` sets
arm against arm, and `report`, `tables` and `plots` show it all.  No score leaves this package without its floors and its ceiling, its
interval and its judge.
"""
