"""What a run judged and where, as the head and the end of its verdict document tell it."""

import importlib.metadata
import os
import platform

import pytest

from harness import capabilities, devices, specification


def of(config: pytest.Config) -> dict:
    """What is judged and where: releases, device, seed; under ``host`` what may differ between two runs that should
    agree.
    """
    import torch

    workers = os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")
    # where every worker ended too soon to tell, the process that started them knows nothing of the device
    untold = specification.is_controller(config) and config.getoption("device") != "cpu"
    missing = dict.fromkeys(capabilities.THINGS, "no worker told") if untold else None
    missing = missing or capabilities.of(devices.under_test(config)).missing
    return {
        "torch": str(torch.__version__),  # a subclass of str, which a worker cannot send
        **{name: _installed(name) for name in ("torchvision", "numpy")},
        "python": platform.python_version(),
        "device": config.getoption("device"),
        "simulated": devices.simulated(config.getoption("device")),
        "seed": config.getoption("seed"),
        "capabilities": {name: missing.get(name, True) for name in capabilities.THINGS},
        "host": {
            "platform": f"{platform.system()} {platform.machine()}",
            "device_name": "" if untold else devices.name_of(config),
            "threads": torch.get_num_threads(),
            "workers": int(workers),
        },
    }


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
