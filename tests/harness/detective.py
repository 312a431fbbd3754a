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
from harness.called import words
from harness.gate import Counterfeit
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
    """A counterfeit ``function``, what it is called, the ``claims`` that it makes false, and the register."""

    function: object
    name: str
    claims: tuple[str, ...]
    register: Register
    chinese: bool
    guesses: int = 0
    hints: int = 0

    @property
    def claim(self) -> Claim:
        return self.register.claims[self.claims[0]]

    @property
    def told(self) -> str:
        """All that a learner knows at the start."""
        section = self.claim.section
        titles = next(chapter.sections[section] for chapter in self.register.chapters if section in chapter.sections)
        english = f"Something is wrong with this torch, in section {section}: {titles[0]}."
        return self.pick(english, f"这个 torch 有一处不对，在 {section} 节：{titles[1]}。")

    def pick(self, english: str, chinese: str) -> str:
        return chinese if self.chinese else english

    @property
    def section(self) -> list[Claim]:
        """The claims of the section, of which one is the answer."""
        return [claim for claim in self.register.claims.values() if claim.section == self.claim.section]

    def list_claims(self) -> str:
        return "\n".join(f"{claim.id}: {self.pick(claim.says, claim.says_zh)}" for claim in self.section)

    def answer(self, id: str) -> str:
        """What to say to a guess; every wrong one brings a hint nearer."""
        pick = self.pick
        if id in self.claims:
            claim = self.register.claims[id]
            return f"{pick('Right: ', '答对了：')}{self.name}{pick('.', '。')}\n{pick(claim.says, claim.says_zh)}"
        if id not in self.register.claims:
            close = ", ".join(claim.id for claim in self.section if str(id) in claim.id)
            none = pick(f"There is no claim {id!r}.", f"没有论断 {id!r}。")
            return none + (pick(f" Do you mean {close}?", f"是不是 {close}？") if close else "")
        self.guesses += 1
        return pick("That is not the one.", "不是这一条。") + (f" {self.hint()}" if self.guesses >= HINT_AFTER else "")

    def hint(self) -> str:
        """The names of torch that the false claim is about, then a few claims of its section."""
        self.hints += 1
        if self.claim.see and self.hints == 1:
            about = ", ".join(self.claim.see)
            return self.pick(f"Look at {about}.", f"看看 {about}。")
        others = [claim.id for claim in self.section if claim.id not in self.claims]
        some = random.Random(words(self.function.__name__)).sample(others, min(len(others), SUSPECTS - 1))
        listed = ", ".join(sorted([self.claim.id, *some]))
        return self.pick(f"It is one of these: {listed}.", f"在这几条之中：{listed}。")

    def give_up(self) -> str:
        command = f"pytest --claim {self.claim.id} --counterfeits"
        english = f"It is {self.claim.id}: {self.name}.\nIts tests notice: {command}"
        return self.pick(english, f"是 {self.claim.id}：{self.name}。\n它的测试会察觉：{command}")


def riddle(config: pytest.Config) -> Riddle:
    """The riddle that ``--seed`` chooses among the counterfeits of the chosen claims that this run can try.

    Raises pytest.UsageError where there is none.
    """
    spec = specification.read(config)
    claims = spec.register.claims
    able = [
        (path, one, ids)
        for path in sorted(Path(config.rootpath, "tests").glob("ch*/counterfeits/*.py"))
        for one, ids in _written(path, spec)
        if set(ids) & spec.chosen and not any(claims[id].needs or claims[id].until for id in ids)
    ]
    if not able:
        raise pytest.UsageError("--detective: there is no counterfeit of these claims that can be planted here")
    path, one, ids = random.Random(config.getoption("seed")).choice(able)
    loading = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(loading)
    loading.loader.exec_module(module)
    chinese = config.getoption("language") == "zh"
    called = spec.called(one.id)[1] if chinese else words(one.name)
    return Riddle(getattr(module, one.name), called, ids, spec.register, chinese)


def _written(path: Path, spec: specification.Specification) -> list[tuple[Counterfeit, tuple[str, ...]]]:
    where = path.relative_to(path.parents[3]).as_posix()
    return [(one, one.claims) for one in spec.counterfeits if one.where.startswith(f"{where}:")]


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
    english = """\
        torch, nn and F are at hand, with the fault. Which claim is false?
        claims() lists the section's; answer("its-id") to guess, hint(), give_up(); Ctrl-D ends."""
    chinese = """\
        torch、nn 和 F 都在手边，带着这处故障。哪一条论断不成立？
        claims() 列出本节的论断；answer("its-id") 作答，hint() 提示，give_up() 认输；Ctrl-D 结束。"""
    banner = f"{chosen.told}\n{textwrap.dedent(chosen.pick(english, chinese))}"
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
        english = "Found it? Without paths, --detective takes your answer."
        then = self.riddle.pick(f" {english}", "找到了吗？不带路径的 --detective 接受你的回答。")
        terminalreporter.line(self.riddle.told + then, bold=True)
