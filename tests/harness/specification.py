"""What every part of the harness knows of a run: the register, the tests that cite it, and the torch that is judged."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest

from harness import called, gate, register


@dataclass(frozen=True)
class Specification:
    """The claims and their tests; the counterfeits of a run that plants or explains them.

    ``chosen`` holds the ids that ``--claim`` selects: all of them without the option.
    """

    register: register.Register
    tests: tuple[gate.Test, ...]
    counterfeits: tuple[gate.Counterfeit, ...]
    chosen: frozenset[str]
    tests_of: dict[str, list[gate.Test]] = field(init=False)  # claim id -> its tests, in the book's order

    def __post_init__(self) -> None:
        tests_of: dict[str, list[gate.Test]] = {id: [] for id in self.register.claims}
        for test in self.tests:
            for id in dict.fromkeys(citation.claim for citation in test.citations):
                tests_of[id].append(test)
        object.__setattr__(self, "tests_of", tests_of)

    @cached_property
    def names_zh(self) -> dict[tuple[str, str], str]:
        """The Chinese names of tests and counterfeits by ``called.place``. Raises pytest.UsageError as reading does."""
        return called.in_chinese(self.register)

    def called(self, id: str) -> tuple[str, str]:
        """What a test or counterfeit, "file.py::name", is called in English and in Chinese: in English again, where it
        has no Chinese name. Reads the Chinese ones.
        """
        english = called.words(id)
        return english, self.names_zh.get(called.place(id), english)

    @property
    def partial(self) -> bool:
        """Whether ``--claim`` leaves claims out."""
        return len(self.chosen) < len(self.register.claims)


KEY = pytest.StashKey[Specification]()


def read(config: pytest.Config) -> Specification:
    """Read register and tests below ``tests/``, counterfeits where an option asks for them, and apply ``--claim``.

    Raises pytest.UsageError as register, gate and option do, and where Chinese is asked for as its names do.
    """
    tests = Path(config.rootpath, "tests")
    claims = register.load(tests)
    found = gate.pass_through(tests, claims)
    patterns = config.getoption("claim")
    chosen = claims.select(patterns, "--claim") if patterns else claims.claims.values()
    asked = any(map(config.getoption, ("counterfeits", "explain", "detective")))
    forged = gate.counterfeits(tests, claims) if asked else ()
    spec = Specification(claims, found, forged, frozenset(claim.id for claim in chosen))
    if config.getoption("language") == "zh":
        spec.names_zh  # noqa: B018  read now, so that a mistake in them ends the run before it starts
    return spec


def of(config: pytest.Config) -> Specification:
    """The run's specification, read when pytest was configured."""
    return config.stash[KEY]


def is_worker(config: pytest.Config) -> bool:
    """Whether this process runs tests for another one (a pytest-xdist worker)."""
    return hasattr(config, "workerinput")


def is_controller(config: pytest.Config) -> bool:
    """Whether this process only hands tests out to pytest-xdist workers; it then imports torch only for --device."""
    return not is_worker(config) and bool(config.getoption("tx", None))
