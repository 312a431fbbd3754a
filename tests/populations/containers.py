"""Containers of modules and of parameters, the Python list or dict that each is like, and what can be done to both.

An edit is one function, called with the container and with its Python twin. After any edits all ways of looking at a
container must agree with the twin, also at each step of a random history. Members are compared by identity.
"""

import itertools
import operator
from collections import OrderedDict
from collections.abc import Callable, Iterable

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from torch import nn

from populations.changes import COPYING
from populations.comparing import accepted
from populations.core import EVERY_MODE, after_any_history

LENGTHS = (0, 1, 3, 11)  # of eleven, two have names of two digits
# Parts of a list: all, without its ends, from the back, from past its end, in steps that leave some out
SLICES = ((None,), (1, -1), (-2, None), (None, None, 3), (None, None, -1), (100, None, -2), (None, None, 2))
# In no order of any kind; as a method of a list, as numbers, with signs that a name of Python's may not have
KEYS = ("west", "East", "b", "a", "10", "9", "append", "with space", "键", "a_b", "weight", "B")


class Step(nn.Module):
    """Adds its letter to a text, so that an output spells the modules it has passed; its parameter tells it, too."""

    def __init__(self, letter: str) -> None:
        super().__init__()
        self.letter = letter
        self.code = nn.Parameter(torch.tensor(float(ord(letter)), device="cpu"))
        self.register_buffer("mark", self.code.detach(), persistent=False)

    def forward(self, text: str) -> str:
        return text + self.letter


def steps(count: int, first: str = "a") -> list[Step]:
    """``count`` steps with letters that follow each other."""
    return [Step(chr(ord(first) + number)) for number in range(count)]


def members(kind: str, count: int, first: str = "a") -> list[Step] | list[nn.Parameter]:
    """``count`` members for a container of this kind: steps, or their parameters."""
    return [step.code if kind.startswith("Parameter") else step for step in steps(count, first)]


def contained(kind: str, twin: list | dict) -> nn.Module:
    """A container of this kind with the members of ``twin``."""
    if kind == "Sequential":
        return nn.Sequential(*twin)
    made = twin if type(twin) is list else [*twin.items()] if len(twin) % 2 else OrderedDict(twin)  # both spellings
    return getattr(nn, kind)(made)


def another(x, twin: list | dict):
    """A container of the kind of ``x``, be it a list or dict itself, with the members of ``twin``."""
    return twin if type(x) in (list, dict) else contained(type(x).__name__, twin)


def place(x, at: int) -> int | np.int64:
    """An index of ``x``, or 0 where it is empty; a number of NumPy's where ``at`` is odd."""
    return (np.int64 if at % 2 else int)(at % max(len(x), 1))


def replaced(x, index: int, member) -> None:
    """Put ``member`` in the place ``index``; into an empty container by appending."""
    if len(x):
        x[index] = member
    else:
        x.append(member)


def deleted(x, index: int | slice) -> None:
    """Delete in place ``index``, unless ``x`` is empty."""
    if len(x):
        del x[index]


LIST_EDITS: dict[str, Callable] = {
    "append": lambda x, at, new: x.append(new[0]),
    "append None": lambda x, at, new: x.append(None),
    "extend": lambda x, at, new: x.extend(new),
    "extend by a generator": lambda x, at, new: x.extend(each for each in reversed(new)),
    "extend by another": lambda x, at, new: x.extend(another(x, new)),
    "+=": lambda x, at, new: operator.iadd(x, another(x, new)),
    "+= tuple": lambda x, at, new: operator.iadd(x, tuple(new)),
    "+= itself": lambda x, at, new: operator.iadd(x, x),
    "*=": lambda x, at, new: operator.imul(x, 3 if len(x) < 4 else 1),
    "insert": lambda x, at, new: x.insert(at % (len(x) + 1), new[0]),
    "insert last": lambda x, at, new: x.insert(len(x), new[0]),
    "insert from the back": lambda x, at, new: x.insert(-1 - place(x, at) if len(x) else 0, new[0]),
    "replace": lambda x, at, new: replaced(x, place(x, at), new[0]),
    "replace from the back": lambda x, at, new: replaced(x, -1 - place(x, at), new[0]),
    "delete": lambda x, at, new: deleted(x, place(x, at)),
    "delete from the back": lambda x, at, new: deleted(x, -1 - place(x, at)),
    "delete a slice": lambda x, at, new: deleted(x, slice(place(x, at), place(x, at) + 2)),
    "delete every second": lambda x, at, new: deleted(x, slice(at % 2 - len(x), None, 2)),
    "delete backwards": lambda x, at, new: deleted(x, slice(None, None, -2)),
    "pop": lambda x, at, new: x.pop(place(x, at)) if len(x) else None,
    "pop from the back": lambda x, at, new: x.pop(-1 - place(x, at)) if len(x) else None,
}
DICT_EDITS: dict[str, Callable] = {
    "add or replace": lambda x, key, new: x.__setitem__(key, new[0]),
    "add None": lambda x, key, new: x.__setitem__(key, None),
    "replace the first": lambda x, key, new: x.__setitem__(next(iter(x), key), new[0]),
    "update from a dict": lambda x, key, new: x.update({key: new[0]}),
    "update from an ordered dict": lambda x, key, new: x.update(OrderedDict({key: new[0], "west": new[1]})),
    "update from pairs": lambda x, key, new: x.update([(key, new[1]), ("new", new[1]), (key, new[0])]),
    "update from a generator": lambda x, key, new: x.update(pair for pair in [("new", new[1]), (key, new[0])]),
    "update from another": lambda x, key, new: x.update(another(x, {"b": new[1], key: new[0]})) or x.update(x),
    "delete": lambda x, key, new: x.__delitem__(key) if key in x else None,
    "pop": lambda x, key, new: x.pop(key if key in x else next(iter(x))) if len(x) else None,
    "assign as an attribute": lambda x, key, new: (x.__setitem__ if type(x) is dict else x.__setattr__)(key, new[0]),
    "clear": lambda x, key, new: x.clear(),
    "setdefault": lambda x, key, new: x.setdefault(key, new[0]),
    "popitem": lambda x, key, new: x.popitem() if len(x) else None,
    "|=": lambda x, key, new: operator.ior(x, another(x, {key: new[0], "new": new[1]})),
}
# What a kind of container does not know, or does otherwise; but for `*=`, each of it is said in a claim's truth.
UNKNOWN = {
    "ModuleList": ("insert from the back", "+= itself", "*="),
    "Sequential": ("append None", "+= tuple", "+= itself"),
    "ParameterList": ("append None", *(edit for edit in LIST_EDITS if edit.startswith(("*", "ins", "del", "pop")))),
    "ModuleDict": ("setdefault", "popitem", "|="),
    "ParameterDict": ("add None", "assign as an attribute"),
}


def edits(kind: str) -> dict[str, Callable]:
    """What can be done to a container of this kind and to its Python twin alike."""
    every = DICT_EDITS if kind.endswith("Dict") else LIST_EDITS
    return {name: edit for name, edit in every.items() if name not in UNKNOWN[kind]}


def fresh(kind: str, twin: list | dict, used: bool) -> list:
    """Three members to edit with; the first of them is the twin's last one, if it is to be ``used`` again."""
    last = list(twin.values() if isinstance(twin, dict) else twin)[-1:]
    return [*last, *members(kind, 3, "x")][:3] if used and last != [None] else members(kind, 3, "A")


def edited(edit: str, container: nn.Module, twin, *arguments) -> None:
    """Make an edit of the twin and of the container; what the twin hands out, as ``pop`` does, the other does too."""
    make = edits(type(container).__name__)[edit]
    expected, handed = make(twin, *arguments), accepted(make, container, *arguments)
    same = told([handed]) == told([expected]) if type(expected) is tuple else handed is expected
    assert same or expected is None or expected is twin, f"{handed} instead of {expected}"


def ids(values: Iterable) -> list[int]:
    return [*map(id, values)]


def told(pairs: Iterable[tuple]) -> list[tuple]:
    """Pairs of a name and an object, or longer tuples that begin so, with the object's identity in its place."""
    return [(pair[0], id(pair[1])) for pair in pairs]


def like_a_list(container: nn.Module, twin: list) -> None:
    """Raise AssertionError unless length, iteration, indices, slices, names and keys are those of the list ``twin``."""
    size, known = len(twin), ids(twin)
    assert len(container) == size
    walks_in_order(container, [(str(index), member) for index, member in enumerate(twin)])
    assert ids(container) == ids(reversed(list(reversed(container)))) == known
    assert ids(container[index] for index in (*range(-size, size), *torch.arange(size, device="cpu"))) == 3 * known
    assert ids(getattr(container, str(index)) for index in range(size)) == known
    assert [at for take in takers(container) for at in (size, -size - 1, 100) if reads(take, at, IndexError)] == []
    for part in itertools.starmap(slice, SLICES[size % 2 :: 2]):  # an edit more, and it is the others' turn
        taken, names = container[part], range(size)[part] if type(container) is nn.Sequential else itertools.count()
        assert (type(taken), taken is container, ids(taken)) == (type(container), False, ids(twin[part]))
        held = [coded(str(name), member) for name, member in zip(names, twin[part]) if member is not None]
        assert told(taken.state_dict(keep_vars=True).items()) == told(held)
    assert [member for member in (*twin[-1:], Step("!")) if member in container] == twin[-1:]


def like_a_dict(container: nn.Module, twin: dict) -> None:
    """Raise AssertionError unless keys, values, items, attributes and names are those of the dict ``twin``."""
    missing, known = AttributeError if isinstance(container, nn.ParameterDict) else KeyError, told(twin.items())
    assert len(container) == len(twin)
    walks_in_order(container, list(twin.items()))
    assert list(container) == list(container.keys()) == list(twin)
    assert ids(container.values()) == [value for _, value in known]
    assert told(container.items()) == told((key, container[key]) for key in twin) == known
    assert told((key, getattr(container, key, KEYS)) for key in twin) == known
    absent = [key for key in (*KEYS, "new", "absent") if key not in twin]
    assert [key for key in (*twin, *absent, "train") if key in container] == [*twin]
    turns = zip(absent, itertools.cycle(takers(container)))
    assert not any(reads(take, key, (KeyError, missing)) for key, take in turns)


def unites_like_a_dict(container: nn.ParameterDict, twin: dict) -> None:
    """Raise AssertionError unless what is made of both, copies and unions, is alike and leaves both as they were."""
    other = dict(zip(("z", *KEYS[:2]), members("ParameterDict", 3, "P")))
    copied, cleared = container.copy(), container.copy()
    cleared.clear()
    united, alike = container | nn.ParameterDict(other.items()), container.fromkeys(["q", "p"], other["z"])
    expected = (twin | other, dict.fromkeys(["q", "p"], other["z"]), twin, {}, twin)
    for made, pairs in zip((united, alike, copied, cleared, container), expected):
        assert told(made.items()) == told(made.named_parameters(remove_duplicate=False)) == told(pairs.items())
    assert list(reversed(container)) == list(reversed(twin))
    assert ids(map(container.get, (*twin, "absent"))) == ids(map(twin.get, (*twin, "absent")))


def takers(container: nn.Module) -> list[Callable]:
    """What reads or takes out a member, as far as the container has it: a ParameterList only reads."""
    return [getattr(container, name) for name in ("__getitem__", "pop", "__delitem__") if hasattr(container, name)]


def reads(take: Callable, key, error: type[Exception] | tuple) -> bool:
    """Whether ``take(key)`` does anything rather than raise ``error``: another error is something, too."""
    try:
        take(key)
    except Exception as refusal:
        return not isinstance(refusal, error)
    return True


def walks_in_order(container: nn.Module, entries: list[tuple]) -> None:
    """Raise AssertionError unless all walks meet ``entries`` in order, none None, all but ``state_dict`` each once."""
    held = [(name, member) for name, member in entries if member is not None]
    once = [entry for index, entry in enumerate(held) if id(entry[1]) not in ids(member for _, member in held[:index])]
    modules = [entry for entry in once if isinstance(entry[1], nn.Module)]
    codes, state = [coded(*entry) for entry in once], container.state_dict(prefix="1.")  # a name of a member, too
    assert told(container.named_children()) == told(modules)
    assert ids(container.children()) == ids(container.modules())[1:] == ids(module for _, module in modules)
    assert told(container.named_parameters()) == told(codes)
    assert ids(container.parameters()) == ids(code for _, code in codes)
    assert told(container.named_buffers()) == told((f"{name}.mark", module.mark) for name, module in modules)
    kept = [(f"1.{name}", code.data_ptr()) for name, code in itertools.starmap(coded, held)]
    assert [(name, value.data_ptr()) for name, value in state.items()] == kept


def coded(name: str, member) -> tuple[str, nn.Parameter]:
    """The parameter of a member, and its name in a container where the member has this ``name``."""
    return (f"{name}.code", member.code) if isinstance(member, Step) else (name, member)


def spells(net: nn.Module, twin: list[Step]) -> None:
    """Raise AssertionError unless ``net``, a Sequential, runs the steps of ``twin`` in order, and holds them twice."""
    for turn, recording in enumerate(EVERY_MODE, len(twin)):  # before anything else looks at what was edited
        with recording():
            assert (net.train, net.eval)[turn % 2]()("") == "".join(module.letter for module in twin)
    assert ids(net * 2) == 2 * ids(twin)


def adds(container: nn.Module, twin: list) -> None:
    """Raise AssertionError unless its sum with another is a third with the members of both, and leaves it alone."""
    other = [*steps(2), *[None] * (type(container) is nn.ModuleList)]
    both = container + another(container, other)
    assert (type(both), ids(both), ids(container)) == (type(container), ids(twin + other), ids(twin))


def compare(kind: str, container: nn.Module, twin: list | dict) -> None:
    """Raise AssertionError unless a container of this kind passes all that it must beside its Python twin."""
    further = {"ModuleList": [adds], "ParameterDict": [unites_like_a_dict], "Sequential": [spells, adds]}
    for each in (*further.get(kind, []), like_a_dict if kind.endswith("Dict") else like_a_list):
        each(container, twin)


def edited_alike(kind: str) -> None:
    """Raise AssertionError unless a container is like its twin after any history of edits; and of none, three or eleven
    members after an edit, then one with a member that it has, which joins once more, and the first again, some copied.
    """
    named, (one, other) = kind.endswith("Dict"), COPYING.values()
    ways = ((one, tuple), (tuple, other), (other, tuple), (tuple, one))  # each edit meets three of them
    for number, (edit, (length, place)) in enumerate(itertools.product(edits(kind), ((0, 0), (3, 1), (11, 10)))):
        made, ats = members(kind, length), [KEYS[number % len(KEYS)]] * 2 if named else [0, place]
        twin, joins = (dict(zip(KEYS, made)), "add or replace") if named else (made, "append")
        container = contained(kind, twin)
        for each, used, copied in zip((edit, edit, joins, edit), (0, 1, 1, 0), (tuple, *ways[number % 4], tuple)):
            container, twin = copied((container, twin))  # together, so that they hold the same members
            edited(each, container, twin, ats[used], fresh(kind, twin, used))
            compare(kind, container, twin)
    after_any_history(history(kind))


def history(kind: str) -> type[RuleBasedStateMachine]:
    """The state machine of a container of this kind beside its Python twin, under the same edits."""
    named = kind.endswith("Dict")
    ats = st.sampled_from(KEYS) if named else st.integers(0, 12)

    class History(RuleBasedStateMachine):
        @initialize(length=st.sampled_from(LENGTHS))
        def start(self, length):
            made = members(kind, length)
            self.twin = dict(zip(KEYS, made)) if named else made
            self.container = contained(kind, self.twin)

        @rule(edit=st.sampled_from(list(edits(kind))), at=ats, used=st.booleans())
        def edit(self, edit, at, used):
            if len(self.twin) > 2 * LENGTHS[-1]:  # a ParameterList only grows; another life begins
                self.start(1)
            edited(edit, self.container, self.twin, at, fresh(kind, self.twin, used))
            compare(kind, self.container, self.twin)

    return History
