"""Turns the harness on."""
pytest_plugins = ["harness.stub"]
