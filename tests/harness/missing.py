"""A stand-in for torchvision where it is not installed, so that only the tests that use it are not tried.

A test module may import it, and names from it; whoever calls one of them stands aside, with the reason. Only test
modules get the stand-in: a library that asks whether torchvision is there is told that it is not.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

PACKAGES = ("torchvision",)
TESTS = Path(__file__).parents[1]


class Missing:
    """A name of a package that is not there: it has whatever attributes are asked for, and no use."""

    def __init__(self, name: str, *class_body: object) -> None:
        self.__name__ = name

    def __getattr__(self, name: str) -> "Missing":
        if name == "__all__":
            self.stand_aside()
        if name.startswith("__"):
            raise AttributeError(name)
        return Missing(f"{self.__name__}.{name}")

    def __mro_entries__(self, bases: tuple) -> tuple:
        return ()  # a class derived from it can be written

    def stand_aside(self, *args: object, **kwargs: object):
        package = self.__name__.partition(".")[0]
        skipped = pytest.skip.Exception(f"needs {package}, which is not installed", allow_module_level=True)
        skipped.need = "package"
        raise skipped

    __call__ = __iter__ = __getitem__ = __instancecheck__ = __contains__ = stand_aside


class StandIn(ModuleType):
    """The package, or a module of it."""

    __path__: tuple = ()

    def __getattr__(self, name: str) -> Missing:
        if name.startswith("__"):
            raise AttributeError(name)
        return Missing(f"{self.__name__}.{name}")


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what no other finder did, for test modules."""

    def __init__(self, packages: tuple[str, ...]) -> None:
        self.packages = packages

    def find_spec(self, name: str, path=None, target=None):
        asked_for = name.partition(".")[0] in self.packages and asked_by_a_test()
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if asked_for else None

    def create_module(self, spec) -> StandIn:
        return StandIn(spec.name)

    def exec_module(self, module) -> None:
        pass


def asked_by_a_test() -> bool:
    """Whether the innermost import statement that is being carried out stands in a file of the tests."""
    frame = sys._getframe()
    while frame is not None:
        file = frame.f_code.co_filename
        if file != __file__ and not file.startswith("<frozen importlib") and "importlib" not in Path(file).parts:
            return TESTS in Path(file).parents or Path(file).name.startswith("test_")
        frame = frame.f_back
    return False


def pytest_configure(config: pytest.Config) -> None:
    finder = Finder(PACKAGES)
    sys.meta_path.append(finder)

    def forget() -> None:
        sys.meta_path.remove(finder)
        for name, module in list(sys.modules.items()):
            if isinstance(module, StandIn):
                del sys.modules[name]

    config.add_cleanup(forget)
