"""Benchmarks: each command measures one table side by side in one run, and writes it as JSON and Markdown with the machine's size.

    python -m benchmarks search runs/redial-smollm2

The tables lie in `docs/experiments/benchmarks/`; `summary.json` there holds the ratios of all of them.
"""
