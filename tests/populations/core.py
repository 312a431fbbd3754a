"""Populations, and ``over``, which tries a guard with their members."""

import functools
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from harness import capabilities
from harness.left_out import left_out
from hypothesis import given, reject, seed
from hypothesis import strategies as st
from hypothesis.errors import UnsatisfiedAssumption
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

# The modes to compute in, in which torch records gradients or does not; made, each decorates a guard or is entered.
EVERY_MODE = (torch.enable_grad, torch.no_grad, torch.inference_mode)


def settled(call: Callable) -> Callable:
    """The same call while torch is asked for deterministic algorithms."""

    def deterministic(*args, **named):
        before = torch.get_deterministic_debug_mode()
        torch.set_deterministic_debug_mode("warn")  # the better known setter imports torch's compiler: over a second
        try:
            return call(*args, **named)
        finally:
            torch.set_deterministic_debug_mode(before)

    return deterministic


def only_where(condition: object) -> None:
    """Leave out the combination that a guard was given, unless ``condition``.

    Hypothesis wants to be asked so, by its ``assume``, of what it draws itself alone.
    """
    if not condition:
        raise UnsatisfiedAssumption


@dataclass(frozen=True)
class Population:
    """``must``: the members that every run meets, whatever its seed; ``more``: the strategy that draws any member;
    ``rarer``: members that every run meets once, after all others, so that no combination of those depends on them.

    Members are *recipes*: small, immutable, printed as they are written. A recipe makes its tensors only when a guard
    takes them, so that they are made on the device under test, and under a counterfeit where one is planted. A recipe
    may have a method ``lacking()``, which says why the device under test cannot have it ("mps has no float64"), or
    returns None.
    """

    must: tuple
    more: st.SearchStrategy
    always: bool = False  # each combination of the other populations' members meets each of ``must``
    closed: bool = False  # ``must`` holds all members, and ``more`` draws no other
    rarer: tuple = ()

    def also(self, *members) -> "Population":
        """This population, of which every run meets ``members`` besides."""
        return replace(self, must=(*self.must, *members))

    def rarely(self, *members) -> "Population":
        """This population, of which every run meets ``members`` once, after all others."""
        return replace(self, rarer=(*self.rarer, *members))


def among(*members) -> Population:
    """The population of the given members: every run meets each of them."""
    return Population(members, st.sampled_from(members), closed=True)


def each(*members) -> Population:
    """The population of the given members, each of which meets all that a guard must meet of the others: operations,
    for one, of which a device may refuse one without keeping the others from being tried.
    """
    return Population(members, st.sampled_from(members), always=True, closed=True)


def whole(low: int, high: int, *must: int) -> Population:
    """The whole numbers from ``low`` to ``high``; every run meets both ends, and ``must`` besides."""
    return Population(tuple(dict.fromkeys((low, high, *must))), st.integers(low, high))


def in_turn(one: Population, other: Population) -> Population:
    """Pairs: each member that every run must meet of ``one`` with one of ``other``, which go round."""
    return Population(tuple(zip(one.must, itertools.cycle(other.must))), st.tuples(one.more, other.more))


def over(modes: tuple = (lambda: lambda guard: guard,), /, **populations: Population | st.SearchStrategy) -> Callable:
    """Decorate a guard: it holds for all members of ``populations``, each given to the parameter of its name.
    In EVERY_MODE the combinations take turns at being tried with and without a record, for guards of values alone.

    Every run meets all members that a population says it must meet: with two populations in such combinations that
    each member of the one meets many of the other. Then come drawn combinations, unless these were all that there are.
    What the device under test lacks is left out; a guard of which nothing is left stands aside (``nothing_left``). Left
    out and told is a combination that needs an operator which the device refuses (``harness.left_out``); where that is
    all of them, the guard is refused. A plain Hypothesis strategy is a population without members that must be met, and
    needs at least one other beside it.
    """

    def decorate(guard: Callable) -> Callable:
        named = {name: of for name, of in populations.items() if isinstance(of, Population)}
        always = {name: of.must for name, of in named.items() if of.always}
        several = {name: of.must for name, of in named.items() if not of.always}
        combined = [
            row | dict(zip(always, members))
            for row in (*rows(several), *once_more(several, {name: of.rarer for name, of in named.items()}))
            for members in itertools.product(*always.values())
            if len(named) == len(populations)
        ]
        closed = all(of.closed for of in named.values()) and len(combined) == math.prod(
            len(of.must) for of in named.values()
        )

        @functools.wraps(guard)
        def one(*args, **drawn):
            __tracebackhide__ = True
            if any(lacking(member) for member in drawn.values()):
                reject()
            try:
                guard(*args, **drawn)
            except UnsatisfiedAssumption:
                raise
            except Exception as error:
                if not left_out(error, lambda: guard(*args, **drawn), drawn.values()):
                    raise

        drawn = given(**{name: of.more if isinstance(of, Population) else of for name, of in populations.items()})(one)

        @functools.wraps(drawn)
        def tried(*args, **fixtures):
            __tracebackhide__ = True  # a failure shows the guard
            passed, refusal = 0, None
            members = {id(member): member for row in combined for member in row.values()}  # some cannot be hashed
            missing = {key for key, member in members.items() if lacking(member)}
            in_modes = [mode()(guard) for mode in modes]
            beside = math.prod(map(len, always.values()))
            for index, row in enumerate(combined):  # in a plain loop, which takes half the time of Hypothesis' @example
                if not missing.isdisjoint(map(id, row.values())):
                    continue
                in_mode = in_modes[turn(index, beside, len(modes))]
                try:
                    in_mode(*args, **fixtures, **row)
                    passed += 1
                except UnsatisfiedAssumption:
                    continue
                except Exception as error:
                    if left_out(error, functools.partial(in_mode, *args, **fixtures, **row), fixtures.values()):
                        refusal = error
                        continue
                    told = ", ".join(f"{name}={member!r}" for name, member in row.items())
                    error.add_note(f"Failing example: {guard.__name__}({told})")
                    raise
            if refusal and not passed:
                raise refusal
            if not (closed and passed):  # Hypothesis tells where nothing passed its assumptions
                drawn(*args, **fixtures)

        tried.combined, tried.drawn = combined, drawn
        return tried

    return decorate


def after_any_history(machine: type[RuleBasedStateMachine]) -> None:
    """Run a state machine: its invariants hold after as many random histories as ``--examples`` says.

    The seed comes from Python's generator, which is seeded for every test.
    """
    run_state_machine_as_test(seed(random.getrandbits(32))(machine))


def rows(named: dict[str, tuple]) -> list[dict]:
    """Combinations in which every member occurs: all of them while they are few, else each once a round, mixed anew.

    The longest population sets the number of rows; the others go round in it. Each round of each population has an
    order of its own, the same in every run: populations that went round side by side would keep members apart for good
    wherever their lengths have a common divisor, the even shapes from the second of two options.
    """
    few = 48  # a guard with so many examples still takes some ten milliseconds
    if functools.reduce(lambda product, must: product * len(must), named.values(), 1) <= few:
        return [dict(zip(named, row)) for row in itertools.product(*named.values())]
    if len(named) == 1:
        return [{name: member} for name, must in named.items() for member in must]
    count = max(few, *map(len, named.values()))
    mixed = [rounds(must, count, random.Random(position)) for position, must in enumerate(named.values())]
    return [dict(zip(named, row)) for row in zip(*mixed)]


def turn(index: int, beside: int, modes: int) -> int:
    """The mode of the combination ``index``, of which ``beside`` follow each other that differ only in members of
    ``each``: these go on from row to row, so that each member meets all modes, and what comes every third row does.
    Among themselves they go on by the digits of their places, to base ``modes``, lest a round of 16 be in step with 4.
    """
    row, place = divmod(index, beside)
    mode = row + row // modes
    while place and modes > 1:
        place, digit = divmod(place, modes)
        mode += digit
    return mode % modes


def once_more(named: dict[str, tuple], rarer: dict[str, tuple]) -> list[dict]:
    """A combination for each of the rarer members of each population, in which the others' members take turns."""
    turns = {name: itertools.cycle(must) for name, must in named.items()}
    return [
        {other: next(turns[other]) for other in named} | {name: member}
        for name, members in rarer.items()
        for member in members
    ]


def rounds(must: tuple, count: int, order: random.Random) -> list:
    """``count`` members of ``must``: all of them in an order by chance, then all in another order, and so on."""
    members: list = []
    while len(members) < count:
        members += order.sample(must, len(must))
    return members[:count]


def lacking(member) -> str | None:
    """Why the device under test cannot have ``member``, or one of a tuple's, or None where it can.

    A dtype is a member that the device may lack, by itself or by its name.
    """
    if isinstance(member, (str, torch.dtype)):
        name = str(member).removeprefix("torch.")
        return capabilities.lack(name) if name in capabilities.DTYPES else None
    if isinstance(member, tuple):
        return next(filter(None, map(lacking, member)), None)
    ask = getattr(member, "lacking", None)
    return ask() if callable(ask) else None


def nothing_left(guard: Callable) -> str | None:
    """Why no combination of a guard's members can be tried on the device under test, or None where one can."""
    reasons = (next(filter(None, map(lacking, row.values())), None) for row in getattr(guard, "combined", []))
    first = next(reasons, None)
    return first if first and all(reasons) else None
