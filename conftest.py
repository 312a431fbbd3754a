"""Turns the harness on, and pytest's own tools for its tests."""

pytest_plugins = ["harness.surroundings", "harness.plugin", "pytester"]
