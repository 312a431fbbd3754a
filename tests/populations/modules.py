"""Modules: layers of every kind, and trees of them, each beside a plan of what it holds.

The plan is written by the recipe alone, from the names and shapes listed here: it is the oracle for what
``parameters``, ``buffers``, ``modules`` and ``state_dict`` say. A tree's modules are containers and modules of one's
own three deep, with buffers that are saved and buffers that are not, with weights that are tied, frozen, or
registered as None.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

from populations import places
from populations.core import Population
from populations.twins import NUMPY

ROW = (2, 4)  # what most layers take and give: two examples of four features
IMAGES = (2, 4, 3, 3)


class Own(nn.Module):
    """A module of one's own: a parameter, a buffer that is saved, two that are not, a plain tensor, and two Nones.

    ``forward`` runs its submodules in the order of their assignment, those in a list or dict one after another, then
    multiplies by ``scale`` and adds ``shift``.
    """

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(4, dtype=dtype))
        self.register_parameter("absent", None)
        self.register_buffer("shift", torch.empty(4, dtype=dtype))
        self.register_buffer("passing", torch.empty(3, dtype=torch.int64), persistent=False)
        self.register_buffer("nothing", None)
        self.register_buffer("later", None, persistent=False)
        self.later = torch.empty(2, dtype=dtype)
        self.plain = torch.empty(4, dtype=dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for child in self.children():
            several = {nn.ModuleList: iter, nn.ModuleDict: lambda entries: entries.values()}.get(type(child))
            for module in several(child) if several else [child]:
                x = module(x)
        return x * self.scale + self.shift


@dataclass(frozen=True)
class Layer:
    """How to make a layer of a dtype, and what it then holds: shapes by name, in the order of registration.

    ``takes`` is the shape of an input that it maps to one of the same shape, or None where it does not.
    """

    make: Callable[[torch.dtype], nn.Module]
    parameters: dict[str, tuple[int, ...]] = field(default_factory=dict)
    buffers: dict[str, tuple[int, ...]] = field(default_factory=dict)
    takes: tuple[int, ...] | None = ROW
    inner: tuple[str, ...] = ()  # the names of its submodules


def _normalisation(make: Callable, takes: tuple[int, ...]) -> Layer:
    statistics = {"running_mean": (4,), "running_var": (4,), "num_batches_tracked": ()}
    return Layer(make, {"weight": (4,), "bias": (4,)}, statistics, takes)


def _cells(gates: int) -> dict[str, tuple[int, ...]]:
    return {
        "weight_ih_l0": (gates * 3, 4),
        "weight_hh_l0": (gates * 3, 3),
        "bias_ih_l0": (gates * 3,),
        "bias_hh_l0": (gates * 3,),
    }


LAYERS = {
    "Linear": Layer(lambda dtype: nn.Linear(4, 4, dtype=dtype), {"weight": (4, 4), "bias": (4,)}),
    "Linear without bias": Layer(lambda dtype: nn.Linear(4, 4, bias=False, dtype=dtype), {"weight": (4, 4)}),
    "wide Linear": Layer(lambda dtype: nn.Linear(33, 65, dtype=dtype), {"weight": (65, 33), "bias": (65,)}, takes=None),
    "Bilinear": Layer(lambda dtype: nn.Bilinear(2, 3, 4, dtype=dtype), {"weight": (4, 2, 3), "bias": (4,)}, takes=None),
    "Embedding": Layer(lambda dtype: nn.Embedding(5, 4, dtype=dtype), {"weight": (5, 4)}, takes=None),
    "Conv1d": Layer(
        lambda dtype: nn.Conv1d(4, 4, 3, padding=1, dtype=dtype), {"weight": (4, 4, 3), "bias": (4,)}, takes=(2, 4, 5)
    ),
    "Conv2d": Layer(
        lambda dtype: nn.Conv2d(4, 4, 3, padding=1, dtype=dtype), {"weight": (4, 4, 3, 3), "bias": (4,)}, takes=IMAGES
    ),
    "Conv3d": Layer(
        lambda dtype: nn.Conv3d(4, 4, 1, bias=False, dtype=dtype), {"weight": (4, 4, 1, 1, 1)}, takes=(1, 4, 2, 2, 2)
    ),
    "ConvTranspose2d": Layer(
        lambda dtype: nn.ConvTranspose2d(4, 4, 1, dtype=dtype), {"weight": (4, 4, 1, 1), "bias": (4,)}, takes=IMAGES
    ),
    "BatchNorm1d": _normalisation(lambda dtype: nn.BatchNorm1d(4, dtype=dtype), ROW),
    "BatchNorm2d": _normalisation(lambda dtype: nn.BatchNorm2d(4, dtype=dtype), IMAGES),
    "BatchNorm without scale": Layer(
        lambda dtype: nn.BatchNorm1d(4, affine=False, dtype=dtype),
        buffers={"running_mean": (4,), "running_var": (4,), "num_batches_tracked": ()},
    ),
    "LayerNorm": Layer(lambda dtype: nn.LayerNorm(4, dtype=dtype), {"weight": (4,), "bias": (4,)}),
    "GroupNorm": Layer(lambda dtype: nn.GroupNorm(2, 4, dtype=dtype), {"weight": (4,), "bias": (4,)}),
    "PReLU": Layer(lambda dtype: nn.PReLU(dtype=dtype), {"weight": (1,)}),
    "RNN": Layer(lambda dtype: nn.RNN(4, 3, dtype=dtype), _cells(1), takes=None),
    "LSTM": Layer(lambda dtype: nn.LSTM(4, 3, dtype=dtype), _cells(4), takes=None),
    "GRU": Layer(lambda dtype: nn.GRU(4, 3, bias=False, dtype=dtype), dict(list(_cells(3).items())[:2]), takes=None),
    "MultiheadAttention": Layer(
        lambda dtype: nn.MultiheadAttention(4, 2, dtype=dtype),
        {"in_proj_weight": (12, 4), "in_proj_bias": (12,), "out_proj.weight": (4, 4), "out_proj.bias": (4,)},
        takes=None,
        inner=("out_proj",),
    ),
    "ParameterList": Layer(
        lambda dtype: nn.ParameterList(nn.Parameter(torch.empty(size, dtype=dtype)) for size in (3, 1)),
        {"0": (3,), "1": (1,)},
        takes=None,
    ),
    "ParameterDict": Layer(
        lambda dtype: nn.ParameterDict([(key, nn.Parameter(torch.empty(2, dtype=dtype))) for key in ("west", "east")]),
        {"west": (2,), "east": (2,)},
        takes=None,
    ),
    "Own": Layer(Own, {"scale": (4,)}, {"shift": (4,), "passing": (3,), "later": (2,)}),
    "ReLU": Layer(lambda dtype: nn.ReLU()),
    "Tanh": Layer(lambda dtype: nn.Tanh()),
    "Flatten": Layer(lambda dtype: nn.Flatten()),
    "Identity": Layer(lambda dtype: nn.Identity()),
    "Dropout": Layer(lambda dtype: nn.Dropout(0.5), takes=None),  # of one's own eval() only
}
WITH_PARAMETERS = tuple(kind for kind, layer in LAYERS.items() if layer.parameters)
UNSAVED = ("passing", "later")
WHOLE_NUMBERS = ("passing", "num_batches_tracked")
CONTAINERS = ("Sequential", "ModuleList", "ModuleDict", "Own")
# Places that are not layers of their own: the first layer of the tree once more; a Linear with the first one's weight.
SHARED = ("again", "tied")
NAMES = ("west", "_in", "Up", "down", "east", "out2", "n", "m", "b", "a", "z10", "z9")  # in no order of any kind


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

    ``kind`` is one of ``LAYERS``, ``SHARED`` or, with ``children``, of ``CONTAINERS``. ``frozen`` freezes all
    parameters at and below this place. Of the root alone: the ``dtype`` of its floating-point tensors, whether it lies
    on the ``second`` device, where there is one, and the ``seed`` of its values, whole numbers from 1 to 8.
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
            kind = "Linear" if tree.kind in SHARED else tree.kind
            module = LAYERS[kind].make(self.root.dtype).to(self.place)
            if tree.kind == "tied" and first is not None:
                module.weight = first.weight
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
                dtype = torch.int64 if name in WHOLE_NUMBERS else self.root.dtype
                array = self.arrays[id(tensor)] = self.random.integers(1, 8, shape, endpoint=True).astype(NUMPY[dtype])
                with torch.no_grad():
                    tensor.copy_(torch.tensor(array, dtype=dtype, device="cpu"))

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


# Of each kind of container as the root and as what is in another; three deep; what comes second sorts before what comes
# first, and a tenth sibling before the second; shared across levels; frozen in part; empty.
TREES = (
    tree("Sequential", "Linear", "ReLU", "Linear without bias"),
    tree("Sequential", *["Linear without bias", "Tanh"] * 6),
    tree("Own", "BatchNorm1d", tree("Sequential", "Linear", tree("Own", "Linear", frozen=True))),
    tree("ModuleDict", "Conv2d", tree("ModuleList", tree("ModuleDict", "BatchNorm2d", "ParameterDict"), "LSTM")),
    tree("Own", tree("ModuleList", "Linear", tree("Sequential", "tied", "Own")), "again"),
    tree("Sequential", tree("Sequential", "Linear"), tree("Sequential", tree("Sequential", "again")), "again"),
    tree("ModuleList", "Embedding", "MultiheadAttention", "ParameterList", "GRU", tree("Own", "Own")),
    tree("Own", tree("ModuleDict", *["LayerNorm"] * 12), "PReLU", frozen=True),
    tree("Sequential", "BatchNorm without scale", "GroupNorm", tree("ModuleDict"), second=True),
    tree("Sequential", tree("Own", "Linear"), tree("Own", "tied"), "Linear", second=True, seed=1),
    tree("Own"),
    tree("Sequential"),
)


def trees(
    dtypes: Sequence[torch.dtype] = (torch.float32,), must: Sequence[Tree] = TREES, kinds: Sequence[str] = tuple(LAYERS)
) -> Population:
    """Trees of depth three at most; every run meets each of ``must`` and, with some of them, each of ``dtypes``.

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
    return Population(tuple(turned), drawn)


def _grown(children: st.SearchStrategy) -> st.SearchStrategy:
    several = st.lists(children, max_size=4).map(tuple)
    return st.builds(Tree, st.sampled_from(CONTAINERS), several, st.sampled_from([False, False, False, True]))


def computing(tree: Tree) -> bool:
    """Whether a tree maps an input to an output, so that it can be called."""
    return tree.takes() is not None
