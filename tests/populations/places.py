"""Where a population's tensors live, and what the device under test cannot hold."""

import torch


def place(second: bool = False) -> torch.device:
    """The device under test; with ``second`` the other device of its type, where there are two."""
    here = torch.device(str(torch.empty(0).device))  # as text: a counterfeit may have planted another ``device``
    module = getattr(torch, here.type, None)
    if second and here.type != "cpu" and getattr(module, "device_count", lambda: 1)() > 1:
        return torch.device(here.type, 1 - (here.index or 0) if (here.index or 0) < 2 else 0)
    return here


def lacks(dtype: torch.dtype) -> str | None:
    """Why no tensor of ``dtype`` can be on the device under test, or None where one can."""
    return None
