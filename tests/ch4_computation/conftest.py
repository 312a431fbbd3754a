"""Files are read as torch reads them by default, whatever the shell around the tests says."""

import pytest


@pytest.fixture(autouse=True)
def defaults_of_load(monkeypatch):
    """Removes the variables that overrule ``weights_only``, and lets no class be declared safe beforehand."""
    import torch  # not above: this file is read before the options are, by processes that need no torch too

    monkeypatch.delenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", raising=False)
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    monkeypatch.setattr(torch._weights_only_unpickler, "_marked_safe_globals_set", set(), raising=False)
