"""Modules: trees of layers of every kind, each beside a plan of what it holds.

The plan is written by the recipe alone, from the names and shapes listed here: it is the oracle for what
``parameters``, ``buffers``, ``modules`` and ``state_dict`` say. A tree's modules are containers and modules of one's
own three deep, with buffers that are saved and buffers that are not, with weights that are tied, frozen, or
registered as None.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

from populations import places
from populations.core import Population
from populations.kinds import LAYERS, NO_FLOATS, ROW, UNSAVED
from populations.twins import NUMPY, Twin, differentiable

CONTAINERS = ("Sequential", "ModuleList", "ModuleDict", "Own")
# Places that are not layers of their own: the first layer of the tree once more; a Linear with the first one's weight.
SHARED = ("again", "tied")
# Containers of parameters, the first of which is the first Linear's weight: the kind of each, and where it holds it.
HOLDING = {"listed": ("ParameterList", 0), "keyed": ("ParameterDict", "west")}
NAMES = ("west", "module", "Up", "_in", "east", "out 2", "n", "m", "b", "a", "z10", "z9")  # in no order of any kind


class Member(NamedTuple):
    """A parameter or buffer at a place of the tree: full name, the tensor itself, the values that it was given."""

    name: str
    tensor: torch.Tensor
    array: np.ndarray
    saved: bool = True


@dataclass(frozen=True)
class Plan:
    """What a tree holds, place by place, in the order of registration: a shared tensor or module at every place."""

    modules: tuple[tuple[str, nn.Module], ...]
    parameters: tuple[Member, ...]
    buffers: tuple[Member, ...]
    state: tuple[Member, ...]  # both together, in the order of ``state_dict``, without the buffers that are not saved

    def once(self) -> list[Member]:
        """The parameters, each at its first place alone."""
        first: dict[int, Member] = {}
        for member in self.parameters:
            first.setdefault(id(member.tensor), member)
        return list(first.values())


@dataclass(frozen=True, repr=False)
class Tree:
    """A recipe: ``module, plan = tree`` makes both, each time anew.

    ``kind`` is one of ``LAYERS``, ``SHARED``, ``HOLDING`` or, with ``children``, ``CONTAINERS``. ``frozen`` freezes all
    parameters at and below this place. Of the root alone: the ``dtype`` of its floating-point tensors, whether it lies
    on the ``second`` device, where there is one, and the ``seed`` of its values, whole numbers from 1 to 8 or, of 64
    bits, to 2^62.
    """

    kind: str
    children: tuple["Tree", ...] = ()
    frozen: bool = False
    dtype: torch.dtype = torch.float32
    second: bool = False
    seed: int = 0

    def __iter__(self) -> Iterator:
        elsewhere = places.place(self.second).type != "cpu"
        with torch.device("cpu") if elsewhere else contextlib.nullcontext():
            site = _Site(self)
            module = site.build(self)
        yield module
        yield site.plan(self, module)

    def __repr__(self) -> str:
        told = [repr(self.kind), *([repr(self.children)] if self.children else [])]
        for name, default in (("frozen", False), ("dtype", torch.float32), ("second", False), ("seed", 0)):
            told += [f"{name}={getattr(self, name)}"] if getattr(self, name) != default else []
        return f"Tree({', '.join(told)})"

    def _repr_pretty_(self, printer, cycle: bool) -> None:
        printer.text(repr(self))

    def lacking(self) -> str | None:
        return places.lacks(self.dtype)

    def but(self, **changes) -> "Tree":
        """The same recipe but for ``changes``."""
        return replace(self, **changes)

    def names(self) -> tuple[str, ...]:
        """The names of the children."""
        return tuple(map(str, range(len(self.children)))) if self.kind in ("Sequential", "ModuleList") else NAMES

    def takes(self) -> tuple[int, ...] | None:
        """The shape of an input that the module maps to one of the same shape, or None where it computes nothing."""
        if self.kind in LAYERS and not self.children:
            return LAYERS[self.kind].takes
        if self.kind in SHARED:
            return ROW
        if self.kind not in ("Sequential", "Own"):
            return None
        lists = ("ModuleList", "ModuleDict") if self.kind == "Own" else ()
        inner = [each for child in self.children for each in (child.children if child.kind in lists else [child])]
        return ROW if all(child.takes() == ROW for child in inner) else None


class _Site:
    """Where a tree is built: keeps what stands already, for the places that share it."""

    def __init__(self, root: Tree) -> None:
        self.root, self.place = root, places.place(root.second)
        self.random = np.random.default_rng(root.seed)
        self.layers: list[nn.Module] = []
        self.kinds: dict[int, Tree] = {}  # by the id of the module
        self.arrays: dict[int, np.ndarray] = {}  # by the id of the tensor

    def build(self, tree: Tree) -> nn.Module:
        first = next((layer for layer in self.layers if type(layer) is nn.Linear), None)
        if tree.kind == "again" and first is not None:
            return first
        if tree.kind in CONTAINERS[:3]:
            module = getattr(nn, tree.kind)()
            self.kinds[id(module)] = tree
        else:
            kind, at = HOLDING.get(tree.kind, ("Linear" if tree.kind in SHARED else tree.kind, None))
            module = LAYERS[kind].make(self.root.dtype)
            module = module if self.place.type == "cpu" else module.to(self.place)
            if tree.kind == "tied" and first is not None:
                module.weight = first.weight
            if at is not None and first is not None:
                module[at] = first.weight
            self.kinds[id(module)] = replace(tree, kind=kind)
            self.layers.append(module)
            self.fill(module, kind)
        for name, child in zip(tree.names(), tree.children):
            module.add_module(name, self.build(child))
        if tree.frozen:
            for tensor in self.tensors(module):
                tensor.requires_grad_(False)
        return module

    def fill(self, module: nn.Module, kind: str) -> None:
        for name, shape in {**LAYERS[kind].parameters, **LAYERS[kind].buffers}.items():
            tensor = attribute(module, name)
            if id(tensor) not in self.arrays:
                dtype = NO_FLOATS.get(name, self.root.dtype)
                ends = {torch.bool: (0, 1), torch.int64: (1, 2**62)}.get(dtype, (1, 8))
                array = np.asarray(self.random.integers(*ends, shape, endpoint=True), NUMPY[dtype])
                tensor.detach().copy_(torch.from_numpy(array).to(dtype))
                self.arrays[id(tensor)] = array

    def tensors(self, module: nn.Module) -> Iterator[torch.Tensor]:
        tree = self.kinds[id(module)]
        yield from (attribute(module, name) for name in LAYERS.get(tree.kind, LAYERS["ReLU"]).parameters)
        for name, _ in zip(tree.names(), tree.children):
            yield from self.tensors(attribute(module, name))

    def plan(self, root: Tree, module: nn.Module) -> Plan:
        modules, parameters, buffers, state = [], [], [], []

        def visit(module: nn.Module, path: str) -> None:
            tree, before = self.kinds[id(module)], f"{path}." if path else ""
            layer = LAYERS.get(tree.kind, LAYERS["ReLU"])
            modules.append((path, module))
            for names, members in ((layer.parameters, parameters), (layer.buffers, buffers)):
                for name in names:
                    tensor = attribute(module, name)
                    members.append(Member(before + name, tensor, self.arrays[id(tensor)], name not in UNSAVED))
                    state.extend(members[-1:] if name not in UNSAVED else [])
            modules.extend((before + name, attribute(module, name)) for name in layer.inner)
            for name, _ in zip(tree.names(), tree.children):
                visit(attribute(module, name), before + name)

        visit(module, "")
        return Plan(tuple(modules), tuple(parameters), tuple(buffers), tuple(state))


def holding(twin: Twin, make: Callable[[Twin], Sequence] = tuple) -> tuple[nn.Module, dict[str, np.ndarray]]:
    """A module that holds tensors of a twin's dtype, layout and shape in every way there is, and their values by name.

    ``make(recipe)`` gives tensor and array of each: by default on the device under test.
    """

    def parameter(tensor: torch.Tensor) -> nn.Parameter:
        return nn.Parameter(tensor, requires_grad=differentiable(twin.dtype))

    names = ("own", "saved", "unsaved", "members.0", "entries.a")
    made = [make(twin.but(seed=twin.seed + number)) for number in range(len(names))]
    own, saved, unsaved, member, entry = (tensor for tensor, _ in made)
    module = nn.Module()
    module.own = parameter(own)
    module.register_buffer("saved", saved)
    module.register_buffer("unsaved", unsaved, persistent=False)
    module.members = nn.ParameterList([parameter(member)])
    module.entries = nn.ParameterDict([("a", parameter(entry))])
    return module, {name: array for name, (_, array) in zip(names, made)}


def handed_out(module: nn.Module) -> list[torch.Tensor]:
    """What the lists and dicts of parameters in a module hand out: by index and key, one after another."""
    lists = [each for each in module.modules() if isinstance(each, nn.ParameterList | nn.ParameterDict)]
    return [each[at] for each in lists for at in (range(len(each)) if isinstance(each, nn.ParameterList) else each)]


def attribute(module: nn.Module, path: str):
    """``attribute(module, "out_proj.weight")`` is ``module.out_proj.weight``."""
    for name in path.split("."):
        module = getattr(module, name)
    return module


def tree(kind: str, *children: "Tree | str", **rest) -> Tree:
    """A tree, its plain layers named by their kind: ``tree("Sequential", "Linear", tree("Own", "ReLU"))``."""
    return Tree(kind, tuple(Tree(child) if isinstance(child, str) else child for child in children), **rest)


def layers(dtypes: Sequence[torch.dtype] = (torch.float32,), kinds: Sequence[str] = tuple(LAYERS)) -> Population:
    """Single layers: every run meets each of ``kinds`` in the first of ``dtypes``, and each of the others with some."""
    must = [Tree(kind, seed=index, second=index % 2 == 1) for index, kind in enumerate(kinds)]
    must = [layer.but(dtype=dtypes[0]) for layer in must] + [
        must[turn % len(must)].but(dtype=dtype) for turn, dtype in enumerate(dtypes[1:])
    ]
    drawn = st.builds(
        Tree,
        st.sampled_from(list(kinds)),
        frozen=st.booleans(),
        dtype=st.sampled_from(list(dtypes)),
        second=st.booleans(),
        seed=st.integers(0, 2**32 - 1),
    )
    return Population(tuple(must), drawn)


# Of each kind of container as the root and as what is in another; four deep; what comes second sorts before what comes
# first, and a tenth sibling before the second; shared across levels; frozen in part; empty.
TREES = (
    tree("Sequential", "Linear", "ReLU", "Linear without bias"),
    tree("Sequential", *["Linear without bias", "Tanh"] * 6),
    tree("Own", "BatchNorm1d", tree("Sequential", "Linear", tree("Own", tree("Sequential", "Linear"), frozen=True))),
    tree("ModuleDict", "Conv2d", tree("ModuleList", tree("ModuleDict", "BatchNorm2d", "ParameterDict"), "LSTM")),
    tree("Own", tree("ModuleList", "Linear", tree("Sequential", "tied", "Own")), "again"),
    tree("Sequential", tree("Sequential", "Linear"), tree("Sequential", tree("Sequential", "again")), "again"),
    tree("ModuleList", "Embedding", "MultiheadAttention", "ParameterList", "GRU", tree("Own", "Own")),
    tree("ModuleDict", "Linear", tree("Own", "listed", "tied"), "ReLU in place", "keyed", "Dropout"),
    tree("Own", tree("ModuleDict", *["LayerNorm"] * 12), "PReLU", frozen=True),
    tree("Sequential", "BatchNorm without scale", "GroupNorm", tree("ModuleDict"), second=True),
    tree("Sequential", tree("Own", "Linear"), tree("Own", "tied"), "Linear", second=True, seed=1),
    tree("Own"),
    tree("Sequential"),
)

DEEP = tree("Linear")
for _ in range(8):  # levels: as many as networks of several blocks have
    DEEP = tree("Sequential", DEEP, "Linear")


def trees(
    dtypes: Sequence[torch.dtype] = (torch.float32,), must: Sequence[Tree] = TREES, kinds: Sequence[str] = tuple(LAYERS)
) -> Population:
    """Trees of depth three at most; every run meets each of ``must`` and, with some of them, each of ``dtypes``; last,
    one of depth eight.

    ``kinds`` are the layers that drawn trees consist of, beside containers and shared places.
    """
    turned = [each.but(dtype=dtypes[turn % len(dtypes)]) for turn, each in enumerate(must)]
    leaves = st.builds(Tree, st.sampled_from([*kinds, *SHARED]), frozen=st.booleans())
    below = leaves
    for _ in range(2):  # a second and a third level, under the root
        below = st.one_of(leaves, _grown(below))
    drawn = st.builds(
        lambda grown, dtype, second, seed: grown.but(dtype=dtype, second=second, seed=seed),
        _grown(below),
        st.sampled_from(list(dtypes)),
        st.booleans(),
        st.integers(0, 2**32 - 1),
    )
    return Population(tuple(turned), drawn, rarer=(DEEP,))


def _grown(children: st.SearchStrategy) -> st.SearchStrategy:
    several = st.lists(children, max_size=4).map(tuple)
    return st.builds(Tree, st.sampled_from(CONTAINERS), several, st.sampled_from([False, False, False, True]))


def computing(tree: Tree) -> bool:
    """Whether a tree maps an input to an output, so that it can be called."""
    return tree.takes() is not None
