"""Containers of modules beside the Python list or dict that they are like, and what can be done to both.

An edit is one function that is called with the container and with its Python twin. After any edits all ways of looking
at a container must agree with the twin: that is what ``like_a_list`` and ``like_a_dict`` check, and what the state
machines check after every step of a random history.
"""

import operator
from collections.abc import Callable

import torch
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from torch import nn

LENGTHS = (0, 1, 3, 11)  # of eleven, two have names of two digits
# In no order of any kind; as a method of a list, as numbers, with signs that a name of Python's may not have
KEYS = ("west", "East", "b", "a", "10", "9", "append", "with space", "键", "a_b", "weight", "B")


class Step(nn.Module):
    """Adds its letter to a text, so that an output spells the modules it has passed; its parameter tells it, too."""

    def __init__(self, letter: str) -> None:
        super().__init__()
        self.letter = letter
        self.code = nn.Parameter(torch.tensor(float(ord(letter)), device="cpu"))

    def forward(self, text: str) -> str:
        return text + self.letter


def steps(count: int, first: str = "a") -> list[Step]:
    """``count`` steps with letters that follow each other."""
    return [Step(chr(ord(first) + number)) for number in range(count)]


def listed(kind: str, modules: list[nn.Module]) -> nn.Module:
    """A ModuleList or Sequential of ``modules``."""
    return getattr(nn, kind)(*modules) if kind == "Sequential" else getattr(nn, kind)(modules)


def place(x, at: int) -> int:
    """An index of ``x``; of an empty one, which has none, the index 0 to append at."""
    return at % max(len(x), 1)


def replaced(x, index: int, module: nn.Module) -> None:
    """Put ``module`` in the place ``index``; into an empty container by appending."""
    if len(x):
        x[index] = module
    else:
        x.append(module)


def deleted(x, index: int | slice) -> None:
    """Delete in place ``index``, unless ``x`` is empty."""
    if len(x):
        del x[index]


LIST_EDITS: dict[str, Callable] = {
    "append": lambda x, at, new: x.append(new[0]),
    "extend": lambda x, at, new: x.extend(new),
    "extend by a generator": lambda x, at, new: x.extend(each for each in reversed(new)),
    "extend by another": lambda x, at, new: x.extend(nn.ModuleList(new)),
    "+=": lambda x, at, new: operator.iadd(x, nn.Sequential(*new)),
    "insert": lambda x, at, new: x.insert(at % (len(x) + 1), new[0]),
    "insert first": lambda x, at, new: x.insert(0, new[0]),
    "insert last": lambda x, at, new: x.insert(len(x), new[0]),
    "replace": lambda x, at, new: replaced(x, place(x, at), new[0]),
    "replace from the back": lambda x, at, new: replaced(x, -1 - place(x, at), new[0]),
    "delete": lambda x, at, new: deleted(x, place(x, at)),
    "delete from the back": lambda x, at, new: deleted(x, -1 - place(x, at)),
    "delete a slice": lambda x, at, new: deleted(x, slice(place(x, at), place(x, at) + 2)),
    "delete every second": lambda x, at, new: deleted(x, slice(at % 2, None, 2)),
    "pop": lambda x, at, new: x.pop(place(x, at)) if len(x) else None,
    "pop from the back": lambda x, at, new: x.pop(-1 - place(x, at)) if len(x) else None,
}
DICT_EDITS: dict[str, Callable] = {
    "add or replace": lambda x, key, new: x.__setitem__(key, new[0]),
    "replace the first": lambda x, key, new: x.__setitem__(next(iter(x), key), new[0]),
    "update from a dict": lambda x, key, new: x.update({key: new[0], "west": new[1], "new": new[2]}),
    "update from pairs": lambda x, key, new: x.update([("new", new[1]), (key, new[0])]),
    "update from another": lambda x, key, new: x.update(nn.ModuleDict({"b": new[1], key: new[0]})),
    "update with nothing": lambda x, key, new: x.update({}),
    "delete": lambda x, key, new: x.__delitem__(key) if key in x else None,
    "delete the first": lambda x, key, new: x.__delitem__(next(iter(x))) if len(x) else None,
    "pop": lambda x, key, new: x.pop(key if key in x else next(iter(x))) if len(x) else None,
    "assign as an attribute": lambda x, key, new: (x.__setitem__ if type(x) is dict else x.__setattr__)(key, new[0]),
    "clear": lambda x, key, new: x.clear(),
}


def edited(edit: Callable, containers: list[nn.Module], twin, *arguments) -> None:
    """Make an edit of the twin and of all ``containers``; what it hands out, as ``pop`` does, they hand out as well."""
    expected = edit(twin, *arguments)
    for container in containers:
        handed = edit(container, *arguments)
        assert handed is expected or expected is None or expected is twin, f"{handed} instead of {expected}"


def like_a_list(container: nn.Module, twin: list[Step]) -> None:
    """Raise AssertionError unless length, iteration, indices, slices, names and keys are those of the list ``twin``."""
    size = len(twin)
    names = [str(index) for index in range(size)]
    assert len(container) == size
    walks_in_order(container, list(zip(names, twin)))
    assert list(container) == list(reversed(list(reversed(container)))) == twin
    assert [container[index] for index in range(-size, size)] == twin + twin
    assert [getattr(container, name) for name in names] == twin
    assert [index for index in (size, -size - 1, 100) if reads(container, index, IndexError)] == []
    for part in (slice(None), slice(1, -1), slice(100, None, -2)):
        taken = container[part]
        assert type(taken) is type(container)
        assert list(taken) == twin[part]
        assert taken is not container
    assert all(module in container for module in twin)
    assert (Step("!") in container) is False


def like_a_dict(container: nn.Module, twin: dict[str, Step]) -> None:
    """Raise AssertionError unless keys, values, items, attributes and names are those of the dict ``twin``."""
    assert len(container) == len(twin)
    walks_in_order(container, list(twin.items()))
    assert list(container) == list(container.keys()) == list(twin)
    assert list(container.values()) == list(twin.values())
    assert list(container.items()) == list(twin.items())
    assert [container[key] for key in twin] == [getattr(container, key) for key in twin] == list(twin.values())
    known = [key for key in (*KEYS, "new", "train") if key in twin]
    assert [key for key in (*KEYS, "new", "train") if key in container] == known
    assert [key for key in (*KEYS, "new", "train") if reads(container, key, KeyError)] == known


def reads(container: nn.Module, key, error: type[Exception]) -> bool:
    """Whether ``container[key]`` gives anything rather than raise ``error``."""
    try:
        container[key]
    except error:
        return False
    return True


def walks_in_order(container: nn.Module, entries: list[tuple[str, Step]]) -> None:
    """Raise AssertionError unless all walks meet ``entries`` in order; all but ``state_dict`` meet a module once."""
    once = [entry for index, entry in enumerate(entries) if entry[1] not in [module for _, module in entries[:index]]]
    codes = [module.code for _, module in once]
    assert list(container.named_children()) == once
    assert list(container.children()) == list(container.modules())[1:] == [module for _, module in once]
    assert [name for name, _ in container.named_parameters()] == [f"{name}.code" for name, _ in once]
    assert all(mine is theirs for mine, theirs in zip(container.parameters(), codes, strict=True))
    state = container.state_dict()
    assert list(state) == [f"{name}.code" for name, _ in entries]
    assert [value.item() for value in state.values()] == [float(ord(module.letter)) for _, module in entries]


def spells(net: nn.Module, twin: list[Step]) -> None:
    """Raise AssertionError unless ``net``, a Sequential, runs the steps of ``twin`` in order, whatever its mode."""
    word = "".join(module.letter for module in twin)
    assert net.train()("") == net.eval()("") == word


class ListHistory(RuleBasedStateMachine):
    """A ModuleList and a Sequential beside a list, under the same edits."""

    @initialize(length=st.sampled_from(LENGTHS))
    def begin(self, length):
        self.twin = steps(length)
        self.containers = [listed(kind, self.twin) for kind in ("ModuleList", "Sequential")]

    @rule(edit=st.sampled_from(list(LIST_EDITS)), at=st.integers(0, 12), used=st.booleans())
    def edit(self, edit, at, used):
        new = [*self.twin[-1:], *steps(2, "x")] if used else steps(3, "A")
        edited(LIST_EDITS[edit], self.containers, self.twin, at, new)
        for container in self.containers:
            like_a_list(container, self.twin)
        spells(self.containers[1], self.twin)


class DictHistory(RuleBasedStateMachine):
    """A ModuleDict beside a dict, under the same edits."""

    @initialize(length=st.sampled_from(LENGTHS))
    def begin(self, length):
        self.twin = dict(zip(KEYS, steps(length)))
        self.container = nn.ModuleDict(self.twin)

    @rule(edit=st.sampled_from(list(DICT_EDITS)), key=st.sampled_from(KEYS), used=st.booleans())
    def edit(self, edit, key, used):
        new = [*list(self.twin.values())[-1:], *steps(3, "x")] if used else steps(3, "A")
        edited(DICT_EDITS[edit], [self.container], self.twin, key, new)
        like_a_dict(self.container, self.twin)
