"""Evaluation: outcomes in, numbers that can be believed out.

`ieval` plays and judges the rows, `metrics` reads figures out of the outcomes, `stats` puts intervals on them, `compare` sets
arm against arm, `verdicts` says in words what is shown, and `report` gathers it (`summary`) and writes it (`tables`, `plots`, `page`).
No score leaves this package without its floors and its ceiling, its interval and its judge.
"""
