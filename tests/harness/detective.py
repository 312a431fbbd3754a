"""``--detective``: one of the counterfeits is planted in torch; find out which claim is false.

Without paths it opens a Python prompt in which torch has the fault. With paths it runs the tests there, which are the
learner's own, under the fault. ``--seed`` chooses the riddle, so that it can be repeated and set for others.
"""

import code
import importlib.util
import random
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import specification
from harness.register import Claim, Register

HINT_AFTER = 2  # wrong guesses
SUSPECTS = 5  # claims that the last hint names: few enough to try each


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("specification").addoption(
        "--detective",
        action="store_true",
        help="plant one counterfeit (--seed says which) and find the false claim, in a prompt or by tests of your own",
    )


@dataclass
class Riddle:
    """A counterfeit ``function``, the ``claims`` that it makes false, and the register."""

    function: object
    claims: tuple[str, ...]
    register: Register
    guesses: int = 0
    hints: int = 0

    @property
    def claim(self) -> Claim:
        return self.register.claims[self.claims[0]]

    @property
    def told(self) -> str:
        """All that a learner knows at the start."""
        section = self.claim.section
        title = next(chapter.sections[section][0] for chapter in self.register.chapters if section in chapter.sections)
        return f"Something is wrong with this torch, in section {section}: {title}."

    @property
    def name(self) -> str:
        return self.function.__name__.replace("_", " ")

    @property
    def section(self) -> list[Claim]:
        """The claims of the section, of which one is the answer."""
        return [claim for claim in self.register.claims.values() if claim.section == self.claim.section]

    def list_claims(self) -> str:
        return "\n".join(f"{claim.id}: {claim.says}" for claim in self.section)

    def answer(self, id: str) -> str:
        """What to say to a guess; every wrong one brings a hint nearer."""
        if id in self.claims:
            return f"Right: {self.name}.\n{self.register.claims[id].says}"
        if id not in self.register.claims:
            close = [claim.id for claim in self.section if str(id) in claim.id]
            return f"There is no claim {id!r}." + (f" Do you mean {', '.join(close)}?" if close else "")
        self.guesses += 1
        return "That is not the one." + (f" {self.hint()}" if self.guesses >= HINT_AFTER else "")

    def hint(self) -> str:
        """The names of torch that the false claim is about, then a few claims of its section."""
        self.hints += 1
        if self.claim.see and self.hints == 1:
            return f"Look at {', '.join(self.claim.see)}."
        others = [claim.id for claim in self.section if claim.id not in self.claims]
        some = random.Random(self.name).sample(others, min(len(others), SUSPECTS - 1))
        return f"It is one of these: {', '.join(sorted([self.claim.id, *some]))}."

    def give_up(self) -> str:
        return f"It is {self.claim.id}: {self.name}.\nIts tests notice: pytest --claim {self.claim.id} --counterfeits"


def riddle(config: pytest.Config) -> Riddle:
    """The riddle that ``--seed`` chooses among the counterfeits of the chosen claims that this run can try.

    Raises pytest.UsageError where there is none.
    """
    spec = specification.read(config)
    claims = spec.register.claims
    able = [
        (path, name, ids)
        for path in sorted(Path(config.rootpath, "tests").glob("ch*/counterfeits/*.py"))
        for name, ids in _written(path, spec)
        if set(ids) & spec.chosen and not any(claims[id].needs or claims[id].until for id in ids)
    ]
    if not able:
        raise pytest.UsageError("--detective: there is no counterfeit of these claims that can be planted here")
    path, name, ids = random.Random(config.getoption("seed")).choice(able)
    loading = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(loading)
    loading.loader.exec_module(module)
    return Riddle(getattr(module, name), ids, spec.register)


def _written(path: Path, spec: specification.Specification) -> list[tuple[str, tuple[str, ...]]]:
    where = path.relative_to(path.parents[3]).as_posix()
    return [(one.name, one.claims) for one in spec.counterfeits if one.where.startswith(f"{where}:")]


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Open the prompt and end; with paths, let pytest run the tests there under the fault."""
    if not config.getoption("detective"):
        return None
    chosen = riddle(config)
    if config.args_source is pytest.Config.ArgsSource.ARGS:
        config.pluginmanager.register(OwnTests(chosen))
        return None
    import torch

    names = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional}
    names |= {"answer": lambda id: print(chosen.answer(id)), "hint": lambda: print(chosen.hint())}
    names |= {"claims": lambda: print(chosen.list_claims()), "give_up": lambda: print(chosen.give_up())}
    banner = textwrap.dedent(f"""\
        {chosen.told}
        torch, nn and F are at hand, with the fault. Which claim is false?
        claims() lists the section's; answer("its-id") to guess, hint(), give_up(); Ctrl-D ends.""")
    config.pluginmanager.getplugin("capturemanager").suspend(in_=True)  # the prompt needs the terminal
    with pytest.MonkeyPatch.context() as patch:
        chosen.function(patch)
        code.interact(banner, local=names, exitmsg="")
    return pytest.ExitCode.OK


class OwnTests:
    """Runs a learner's own tests under the fault."""

    def __init__(self, chosen: Riddle) -> None:
        self.riddle = chosen

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item):
        with pytest.MonkeyPatch.context() as patch:
            self.riddle.function(patch)
            return (yield)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.line(f"{self.riddle.told} Found it? Without paths, --detective takes your answer.", bold=True)
