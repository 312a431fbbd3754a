"""Comparisons of ways to do the same thing, timed by pytest-benchmark; docs/benchmarks.md tells how to run them."""
