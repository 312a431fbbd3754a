"""Files: ways to write and read them, tensors of any bits, and nested objects."""

import functools
import io
import itertools
import pickle
import tempfile
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from populations.core import Population, among
from populations.layouts import arranged
from populations.twins import LAYOUTS, SHAPES

OLDER = "_use_new_zipfile_serialization"  # with False: the format before torch 1.6, pickles and numbers in one stream
# "offset" is an archive that does not start the file: tried on 2.14; 2.5 reads none
SINCE = {"mmap": (2, 1), "mmap Path": (2, 3), "offset": (2, 14)}
WAYS = (
    *("memory", "Path", "text", "file", "offset", "mmap", "mmap Path"),
    *("older memory", "older Path", "older offset"),
)
BY_DEFAULT = {} if torch.__version__ >= (2, 6) else {"weights_only": True}  # which is the default since torch 2.6


def filtered():
    """The error of the filter that ``weights_only=True`` puts before ``load``."""
    return pytest.raises(pickle.UnpicklingError, match="Weights only load failed")


def layout_of(tensor: torch.Tensor) -> tuple:
    """What a file must keep of a tensor beside its values."""
    return tensor.dtype, tuple(tensor.shape), tensor.stride(), tensor.storage_offset(), tensor.requires_grad


def rewound(file, start: int):
    """The file at its place ``start`` again, if it is open; a name remains a name."""
    if hasattr(file, "seek"):
        file.seek(start)
    return file


_NUMBERS = itertools.count()


@functools.cache
def _folder() -> tempfile.TemporaryDirectory:
    """Where the files of this process stand: one folder for all, since to make one costs more than to write a file."""
    return tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # Windows removes no file that is mapped


def new_path(name: str = "numbers") -> Path:
    """Where no file is yet, and none stays longer than the process."""
    return Path(_folder().name, f"{next(_NUMBERS)} {name}")


@dataclass(frozen=True)
class Way:
    """A recipe: how an object is written and read again. ``kind`` is one of ``WAYS``."""

    kind: str

    def lacking(self) -> str | None:
        since = SINCE.get(self.kind, (2, 0))
        if tuple(map(int, torch.__version__.split(".")[:2])) < since:
            return f"torch {torch.__version__} has no way to load from {self.kind}; torch {since[0]}.{since[1]} has"
        return None

    @property
    def start(self) -> int:
        """Where in the file the object begins."""
        return 37 if "offset" in self.kind else 0  # no multiple of what anything is aligned to

    def round_trip(self, thing, protocol: int = 2, **options):
        """What ``load`` with these ``options`` makes of what ``save`` wrote by this protocol of pickle."""
        with self.saved(thing, protocol) as load:
            return load(**options)

    def saved(self, thing, protocol: int = 2):
        """What ``save`` writes of ``thing``: gives what calls ``load`` on it, with options."""
        how = {OLDER: "older" not in self.kind, "pickle_protocol": protocol}
        return self.written(lambda file: torch.save(thing, file, **how))

    @contextmanager
    def written(self, write: Callable) -> Iterator[Callable]:
        """Call ``write`` with whatever ``save`` takes for a file, then give what calls ``load`` on it, with options."""
        path, memory = new_path("权重.pt"), io.BytesIO(bytes(self.start))
        name = memory if "memory" in self.kind or "offset" in self.kind else path if "Path" in self.kind else str(path)
        opened = path.open if self.kind == "file" else lambda mode: nullcontext(name)
        mapped = {"mmap": True} if "mmap" in self.kind else {}
        try:
            with opened("wb") as file:
                write(rewound(file, self.start))
            with opened("rb") as file:
                yield lambda **options: torch.load(rewound(file, self.start), **mapped, **options)
        finally:
            path.unlink(missing_ok=True)

    def holding(self, content: bytes):
        """The same for a file of this ``content``."""
        return self.written(
            lambda file: file.write(content) if hasattr(file, "write") else Path(file).write_bytes(content)
        )


def ways(*left_out: str) -> Population:
    """All ways but those of which the kind is, or contains, one of ``left_out``."""
    return among(*(Way(kind) for kind in WAYS if not any(part in kind for part in left_out)))


def savable_dtypes(older: bool = False) -> tuple[torch.dtype, ...]:
    """The dtypes of which this release of torch can save a tensor, with ``older`` in the format before torch 1.6.

    Left out are the quantized dtypes, of which ``torch.empty`` makes no tensor that could be stored, the integers of
    less than a byte, and in older releases complex32 and the wide unsigned integers: they have no name in a file.
    """
    found = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bfloat16, torch.float16}
    found |= {torch.float32, torch.float64, torch.complex64, torch.complex128}
    for dtype in {value for value in vars(torch).values() if isinstance(value, torch.dtype)} - found:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # some of the rarer dtypes call themselves experimental
                Way("older memory" if older else "memory").round_trip(torch.empty(0, dtype=dtype, device="cpu"))
        except (AttributeError, KeyError, RuntimeError):
            continue
        found.add(dtype)
    return tuple(sorted(found, key=str))


@dataclass(frozen=True)
class Bits:
    """A recipe: ``tensor, stored = bits`` makes a tensor on the CPU and the bytes of all its memory.

    The bytes are drawn from ``seed`` alone: among them are NaNs of every payload, infinities and subnormal numbers, and
    at their end what marks the end of a zip archive.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    layout: str = "contiguous"
    seed: int = 0

    def __iter__(self) -> Iterator:
        buffer, strides, offset = arranged(np.zeros(self.shape, np.int8), self.layout)
        wide = torch.empty(0, dtype=self.dtype, device="cpu").element_size()
        stored = np.random.default_rng(self.seed).integers(0, 256, len(buffer) * wide, np.uint8)
        special = ([0] * (wide - 2) + [0xF0, 0x7F] + [0xFF] * wide)[: len(stored)]  # infinity, and a NaN
        stored[: len(special)] = special
        stored[16:][-4:] = np.frombuffer(b"PK\5\6", np.uint8)[: len(stored[16:])]  # as the end of an archive begins
        yield torch.tensor(stored, device="cpu").view(self.dtype).as_strided(self.shape, strides, offset)
        yield stored.tobytes()


def bits(dtypes: tuple[torch.dtype, ...]) -> Population:
    """Tensors of these dtypes, of every layout and shape, with any bits."""
    shapes = (*SHAPES, (2, 1, 2, 1, 3, 2))  # a file has no largest rank
    most = max(len(dtypes), len(shapes), len(LAYOUTS))
    must = tuple(
        Bits(dtypes[i % len(dtypes)], shapes[i % len(shapes)], LAYOUTS[(i + i // len(LAYOUTS)) % len(LAYOUTS)], i)
        for i in range(2 * most)
    )
    must += (Bits(dtypes[0], shapes[-1], "transposed", 2 * most),)
    drawn = st.one_of(st.sampled_from(shapes), st.lists(st.integers(0, 4), max_size=6).map(tuple))
    seeds = st.integers(0, 2**32 - 1)
    return Population(must, st.builds(Bits, st.sampled_from(dtypes), drawn, st.sampled_from(LAYOUTS), seeds))


def memory_of(tensor: torch.Tensor) -> bytes:
    """The bytes of all the memory that a tensor on the CPU looks at."""
    return torch.empty(0, dtype=torch.uint8, device="cpu").set_(tensor.untyped_storage()).numpy().tobytes()


def archive(pickled: bytes, older: bool = False) -> bytes:
    """A file as ``save`` writes it around a pickle without tensors; ``older``: that pickle alone."""
    if older:
        return b"\x80\x02" + pickled.removeprefix(b"\x80\x02")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as whole:
        whole.writestr("x/data.pkl", b"\x80\x02" + pickled.removeprefix(b"\x80\x02"))
        whole.writestr("x/version", "3\n")
    return file.getvalue()


# ── nested objects ──


def pool() -> list[torch.Tensor]:
    """Tensors of which the first six look at one memory, two at another, and at a third two parameters and two tensors
    that are none.
    """
    whole, half = torch.arange(24), torch.arange(4.0, requires_grad=True)
    views = [whole, whole[2:5], whole.view(4, 6), whole.view(4, 6).t(), whole[::2], whole[23]]
    views += [half, half.detach()[1:]]
    parameters = [torch.nn.Parameter(part) for part in torch.arange(6.0).split(3)]
    more = [torch.arange(24), torch.empty(0, 3), torch.tensor(True), torch.tensor([1.5]).half()]
    beside = [parameters[0].detach(), parameters[1].data[1:]]
    return [*views, *more, *parameters, torch.empty(0, dtype=torch.int64), *beside]


def built(recipe, tensors: list[torch.Tensor]):
    """The object of a recipe: ("list", parts), ("tuple", parts), ("dict", parts) or ("ordered", parts) with the tensors
    that it numbers.
    """
    if not isinstance(recipe, tuple):
        return tensors[recipe] if type(recipe) is int else recipe
    kind, parts = recipe
    if kind in ("dict", "ordered"):
        made = {"dict": dict, "ordered": OrderedDict}[kind]
        return made((key if type(key) is int else built(key, range(12)), built(part, tensors)) for key, part in parts)
    return {"list": list, "tuple": tuple}[kind](built(part, tensors) for part in parts)


def flat(thing, path: str = "") -> Iterator[tuple[str, object]]:
    """Every leaf with the types and keys on the way to it; an empty container is a leaf."""
    named = type(thing) in (dict, OrderedDict)
    parts = thing.items() if named else enumerate(thing) if type(thing) in (list, tuple) else ()
    if not parts or not thing:
        yield f"{path} {type(thing).__name__}", thing
    for key, part in parts if thing is not None and not isinstance(thing, torch.Tensor) else ():
        yield from flat(part, f"{path}{type(thing).__name__}[{key!r}]")


# Whole numbers on both sides of where pickle takes another code for them.
WIDE = (255, 256, 65_535, 65_536, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**40, -(2**40), 2**63, 2**64, -(2**64) - 1)
NESTED = (
    ("list", (*range(12), 0, 1)),  # twelve tensors, and two again that share their memory with none near
    *(("list", (12, 13)), ("list", (14, 9, 14))),  # nothing of one dtype beside nothing of another
    ("list", (("list", (0, 1)), ("list", (4, 1)), ("dict", (("a", 0), ("b", ("list", (5, 0))))), ("list", (6, 7)))),
    ("list", (0, 0, ("tuple", (5, ("list", (1,)))), ("list", ()), 2)),
    ("dict", (("y", 3), ("x", 4), (2.5, 0), (("tuple", ("a", None)), 9), ("B", 8), ("10", 6), ("9", 7), (10, 1))),
    ("list", (2, 3)),  # a matrix and its transpose
    ("dict", ((10, 3), (-9, 0), (1, 4))),
    ("dict", ((True, 2), ("inner", ("dict", (("z", 3), ("y", 5), ("x", 4)))), (False, 1))),
    ("ordered", (("z", 0), (3, ("dict", (("b", 1), (3, ("ordered", ((2, 2), ("a", 3)))), (1, 6)))), ("y", 7), (2, 4))),
    (
        "dict",
        (("epoch", 0.25), ("best", ("dict", (("w", 1), ("name", "网络"), (None, 0), ("loss", 0.25)))), ("done", True)),
    ),
    (
        "tuple",
        (("dict", ()), ("tuple", (10, 11)), None, "text", b"bytes", 1.5, ("list", (("list", (("list", (6,)),)),))),
    ),
    ("dict", tuple((name, number) for number, name in enumerate("zyxwvutsrqpo"))),
    ("dict", tuple((number, at % 12) for at, number in enumerate(WIDE))),
)


BESIDE = (  # parameters, and tensors in their memory that are no parameters
    ("list", (12, 15)),
    ("list", (15, ("list", (12, 16)), 13)),
    ("dict", (("w", 13), ("best", ("dict", (("w", 16), ("b", 15)))), ("b", 12))),
)


def nested(*kinds: str) -> Population:
    """Recipes of nested objects, the outermost of ``kinds``."""
    plain = st.sampled_from([None, True, "text", "", 1.5, b"\0"])
    leaves = st.one_of(st.integers(0, 16), plain)
    keys = st.one_of(
        st.text(max_size=3),
        st.integers(-11, 11),
        st.sampled_from(WIDE),
        st.floats(allow_nan=False),
        st.booleans(),
        st.none(),
    )

    def grown(below: st.SearchStrategy) -> st.SearchStrategy:
        parts = st.lists(below, max_size=4).map(tuple)
        pairs = st.lists(st.tuples(keys, below), max_size=4, unique_by=lambda pair: pair[0]).map(tuple)
        several = [st.tuples(st.just(kind), parts) for kind in ("list", "tuple")]
        return st.one_of(*several, st.tuples(st.just("dict"), pairs))

    inner = st.recursive(leaves, grown, max_leaves=8)
    met, beside = (tuple(recipe for recipe in of if recipe[0] in kinds) for of in (NESTED, BESIDE))
    return Population(met, grown(inner).filter(lambda recipe: recipe[0] in kinds), rarer=beside)
