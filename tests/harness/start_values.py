"""Start values are drawn on the CPU where the device refuses to draw them.

``nn.Linear(2, 3)`` draws on the default device, by an operator that a backend in the making may lack. Then hardly any
test could begin, whatever it is about. So where an initialiser of ``torch.nn.init``, which torch's layers use too,
fails because an operator is missing, it fills a tensor of the CPU, which is copied; and the test tells what it was
tried without (``harness.left_out``). A test that is about what an initialiser draws is marked ``start_values``: there
nobody draws for the device. On a device that can draw, and on the CPU, nothing changes.
"""

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from harness import capabilities, devices, specification
from harness.left_out import Running, left_out

DRAWING = (
    *("uniform_", "normal_", "trunc_normal_", "orthogonal_", "sparse_"),
    *("xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"),
)


def drawn_somewhere(fill: Callable) -> Callable:
    """An initialiser that fills on the CPU what the device refuses to fill."""
    import torch

    @functools.wraps(fill)
    def filled(tensor, *args, **kwargs):
        on_the_cpu = capabilities.current().device == "cpu"  # as in a test marked ``cpu``
        if on_the_cpu or fill.__name__ in Running.own_start_values or filling:
            return fill(tensor, *args, **kwargs)

        def attempt():
            with nested():
                if capabilities.current().device != "cpu":
                    return fill(tensor, *args, **kwargs)
                with torch.no_grad():
                    return tensor.copy_(fill(tensor.detach().cpu(), *args, **kwargs))

        try:
            return attempt()
        except RuntimeError as error:
            if not left_out(error, attempt):  # which has filled it from the CPU
                raise
            return tensor

    return filled


filling: list[bool] = []


@contextmanager
def nested() -> Iterator[None]:
    """torch's mode of a default device calls an initialiser once more, from within, where no mode can be changed."""
    filling.append(True)
    try:
        yield
    finally:
        filling.pop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item):
    marks = [mark.args or DRAWING for mark in item.iter_markers("start_values")]
    before, Running.own_start_values = Running.own_start_values, tuple(name for names in marks for name in names)
    try:
        return (yield)
    finally:
        Running.own_start_values = before


def pytest_sessionstart(session: pytest.Session) -> None:
    if specification.is_controller(session.config) or devices.under_test(session.config) == "cpu":
        return
    from torch.nn import init

    patch = pytest.MonkeyPatch()
    session.config.add_cleanup(patch.undo)
    fills = [getattr(init, name) for name in DRAWING]
    instead = {fill: drawn_somewhere(fill) for fill in fills if not hasattr(fill, "__wrapped__")}
    layers = [module for name, module in [*sys.modules.items()] if name.startswith("torch.nn.modules.")]
    for module in (init, *layers):  # some of which import an initialiser by its name
        for name, value in [*vars(module).items()]:
            if callable(value) and value in instead:
                patch.setattr(module, name, instead[value])


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "start_values(*names): about what these initialisers, or all, draw on the device"
    )
