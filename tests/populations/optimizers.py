"""Optimizers, and beside each its update rule written out in NumPy, in float64, with a bound on the roundings.

``recipe.on([twin, ...], ...)`` makes parameters, an optimizer of them, and the rule on arrays of the same values.
Whatever is done to both (steps, edits, groups added, a reload, a new optimizer), ``agree()`` compares them.
"""

import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from hypothesis import strategies as st

from populations import places
from populations.comparing import agree, untouched
from populations.core import Population
from populations.twins import FLOATS, HALVES, WRITABLE

WAYS = ("default", "for-loop", "foreach", "fused")


class Rounded:
    """Float64 values of a computation, and how far off them the same computation in a narrower dtype may be.

    Running error analysis: every operation passes the errors of its operands on, and adds one rounding for the dtype
    and one for the operation that torch may have split in two or taken in another order (or, in float64, for NumPy's
    own). ``unit`` is half the dtype's eps; below ``tiny`` numbers may be flushed to zero, in half precision, where that
    would be much, only below the smallest. Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 3.3.
    """

    def __init__(self, value, dtype: torch.dtype, error=0.0):
        self.value, self.dtype, self.error = np.asarray(value, np.float64), dtype, error
        told = torch.finfo(dtype)
        self.unit, self.tiny = told.eps / 2, told.tiny * (told.eps if dtype in HALVES else 1)

    def lift(self, other) -> "Rounded":
        """A number of Python's, rounded to the dtype."""
        return other if isinstance(other, Rounded) else Rounded(other, self.dtype, self.unit * abs(other))

    def made(self, value, error) -> "Rounded":
        error = error + 2 * self.unit * np.abs(value) + self.tiny
        return Rounded(value, self.dtype, np.where(np.isnan(error), np.inf, error))

    def __add__(self, other) -> "Rounded":
        other = self.lift(other)
        return self.made(self.value + other.value, self.error + other.error)

    def __neg__(self) -> "Rounded":
        return Rounded(-self.value, self.dtype, self.error)

    def __sub__(self, other) -> "Rounded":
        return self + -self.lift(other)

    def __mul__(self, other) -> "Rounded":
        other = self.lift(other)
        with np.errstate(invalid="ignore"):  # 0 times an error that knows no bound
            error = np.abs(self.value) * other.error + (np.abs(other.value) + other.error) * self.error
        return self.made(self.value * other.value, error)

    def __truediv__(self, other) -> "Rounded":
        other = self.lift(other)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = self.value / other.value
            away = np.maximum(np.abs(other.value) - other.error, 0)  # from zero: at worst the quotient is anything
            return self.made(value, (self.error + np.abs(value) * other.error) / away)

    def sqrt(self) -> "Rounded":
        value = np.sqrt(self.value)
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.made(value, np.fmin(self.error / value, np.sqrt(self.error)))

    def largest(self, other: "Rounded") -> "Rounded":
        return Rounded(np.maximum(self.value, other.value), self.dtype, np.maximum(self.error, other.error))

    __radd__, __rmul__ = __add__, __mul__


# ── the rules: each takes a step of parameter ``w`` at gradient ``g``; ``state`` is a dict that it keeps, ``t`` counts
# from 1, ``o`` are the group's options ──


def sgd(w, g, state, t, o):
    """A decaying sum of the gradients, which starts at the first one undampened; Nesterov's looks a step ahead."""
    g = g + w * o["weight_decay"]
    if o["momentum"]:
        old = state.get("sum")
        state["sum"] = g if old is None else old * o["momentum"] + g * (1 - o["dampening"])
        g = g + state["sum"] * o["momentum"] if o["nesterov"] else state["sum"]
    return w - g * o["lr"]


def adam(w, g, state, t, o, decoupled=False):
    """Means of the gradients and of their squares, which start at zero; dividing by 1 - beta**t makes up for that.

    D. P. Kingma and J. Ba, Adam (2015), algorithm 1; with ``amsgrad`` the largest mean square counts.
    """
    first, second = o["betas"]
    if decoupled:
        w = w * (1 - o["lr"] * o["weight_decay"])
    else:
        g = g + w * o["weight_decay"]
    state["mean"] = state.get("mean", g * 0) * first + g * (1 - first)
    state["square"] = square = state.get("square", g * 0) * second + g * g * (1 - second)
    if o["amsgrad"]:
        state["largest"] = square = square.largest(state.get("largest", square))
    # a fused kernel may compute what makes up for the start in the parameter's own dtype
    fused = np.abs(np.array([first**t, second**t])) * t * w.unit * 2 * bool(o.get("fused"))
    made_up = [Rounded(1 - beta**t, w.dtype, w.unit + error) for beta, error in zip(o["betas"], fused)]
    return w - state["mean"] / made_up[0] * o["lr"] / ((square / made_up[1]).sqrt() + o["eps"])


def adamw(w, g, state, t, o):
    """Adam, but the decay shrinks the parameter itself. I. Loshchilov and F. Hutter (2019), algorithm 2."""
    return adam(w, g, state, t, o, decoupled=True)


def rmsprop(w, g, state, t, o):
    """Gradients over the root of their mean square, which starts at zero; centred: over their standard deviation."""
    g = g + w * o["weight_decay"]
    state["square"] = square = state.get("square", g * 0) * o["alpha"] + g * g * (1 - o["alpha"])
    if o["centered"]:
        state["mean"] = mean = state.get("mean", g * 0) * o["alpha"] + g * (1 - o["alpha"])
        square = square - mean * mean
    move = g / (square.sqrt() + o["eps"])
    if o["momentum"]:
        state["sum"] = move = state["sum"] * o["momentum"] + move if "sum" in state else move
    return w - move * o["lr"]


def adagrad(w, g, state, t, o):
    """Gradients over the root of the sum of all squares so far. J. Duchi, E. Hazan and Y. Singer (2011)."""
    g = g + w * o["weight_decay"]
    state["sum"] = state.get("sum", g * 0 + o["initial_accumulator_value"]) + g * g
    rate = o["lr"] / (1 + (t - 1) * o["lr_decay"])
    single = 2.0**-23 * rate if torch.__version__ < (2, 1) else 0.0  # foreach kept the rate in float32
    return w - g * Rounded(rate, w.dtype, max(w.unit * rate, single)) / (state["sum"].sqrt() + o["eps"])


RULES = {"SGD": sgd, "Adam": adam, "AdamW": adamw, "RMSprop": rmsprop, "Adagrad": adagrad}


@functools.cache
def lacks(name: str, way: str, dtype: torch.dtype, device: str) -> str | None:
    """Why no optimizer ``name`` of ``dtype`` can step in this way on ``device``, or None where one can: tried once."""
    if way == "fused" and "fused" not in inspect.signature(getattr(torch.optim, name)).parameters:
        return f"torch {torch.__version__} has no fused {name}"
    if (name, way) == ("SGD", "fused") and dtype in HALVES and device == "cpu" and torch.__version__ < (2, 14):
        return "before torch 2.14 fused SGD skipped full vectors of half precision on the CPU"  # pytorch#191763
    if way != "fused" and dtype not in HALVES:
        return None  # whatever an error this is, a test must show it
    parameter = torch.zeros(1, dtype=dtype, device=device).requires_grad_()
    parameter.grad = torch.ones(1, dtype=dtype, device=device)
    try:
        Recipe(name, (("lr", 0.5),), way, dtype).new([parameter]).step()
    except (RuntimeError, NotImplementedError) as error:
        return f"{device} has no {way} {name} of {dtype}: {str(error).partition(chr(10))[0]}"
    return None


@dataclass(frozen=True)
class Recipe:
    """An optimizer ``name`` of torch.optim with ``options``; ``way`` says which of its implementations runs.

    It is of parameters of ``dtype``, whatever that of the twins it is given.
    """

    name: str
    options: tuple[tuple[str, object], ...]
    way: str = "default"
    dtype: torch.dtype = torch.float32

    def lacking(self) -> str | None:
        return places.lacks(self.dtype) or lacks(self.name, self.way, self.dtype, places.place().type)

    def but(self, **options) -> "Recipe":
        """The same recipe with other options: ``recipe.but(weight_decay=0.5)``."""
        return replace(self, options=tuple({**dict(self.options), **options}.items()))

    def new(self, parameters, **options) -> torch.optim.Optimizer:
        """The optimizer of these parameters or groups."""
        ways = {"default": {}, "for-loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
        return getattr(torch.optim, self.name)(parameters, **{**dict(self.options), **ways[self.way], **options})

    def on(self, *groups) -> "Beside":
        """The optimizer beside its rule. A group is a list of twins, or a pair of such a list and its own options."""
        return Beside(self, groups)


class Beside:
    """``optimizer``, the ``tensors`` it holds, and beside each the rule's ``arrays``: ``Rounded`` of its values."""

    def __init__(self, recipe: Recipe, groups):
        self.recipe, self.twins, self.tensors, self.arrays = recipe, [], [], []
        self.states, self.steps, self.members, self.asked = [], [], [], 0
        self.fused = recipe.way == "fused"
        self.optimizer = recipe.new([self._made(group) for group in groups])

    def _made(self, group) -> dict:
        twins, own = group if isinstance(group, tuple) else (group, {})
        first = len(self.tensors)
        for twin in twins:
            # a fused kernel takes elements in the order of memory: no gaps, and gradients laid out as their parameter
            layout = "contiguous" if self.fused and twin.layout == "gappy" else twin.layout
            twin = twin.but(dtype=self.recipe.dtype, layout=layout)
            tensor, array = twin.but(grad=True)
            self.twins.append(twin)
            self.tensors.append(tensor)
            self.arrays.append(Rounded(array, twin.dtype))
            self.states.append({})
            self.steps.append(0)
        self.members.append(range(first, len(self.tensors)))
        return {"params": self.tensors[first:], **own}

    def add(self, group) -> None:
        """Add a group later: a list of twins, or a pair of such a list and its own options."""
        self.optimizer.add_param_group(self._made(group))

    def edit(self, group: int, **options) -> None:
        """Change options of a group, in place."""
        self.optimizer.param_groups[group].update(options)

    def step(self, without: Sequence[int] = ()) -> None:
        """Take a step at new gradients, of other layouts than the parameters; those of ``without`` have none."""
        self.asked += 1
        for number, (twin, tensor) in enumerate(zip(self.twins, self.tensors)):
            tensor.grad = None
            if number not in without:
                layout = twin.layout if self.fused else WRITABLE[(self.asked + number) % len(WRITABLE)]
                # float16 rounds Adam's epsilon to 0, so that a gradient of 0 would give 0 / 0
                values = "positive" if twin.dtype in HALVES else "fractions"
                drawn = twin.but(layout=layout, values=values, grad=False, seed=twin.seed + self.asked)
                tensor.grad, gradient = drawn
                self._follow(number, Rounded(gradient, twin.dtype))
        self.optimizer.step()

    def _follow(self, number: int, gradient: Rounded) -> None:
        group = next(at for at, members in enumerate(self.members) if number in members)
        options = {**self.optimizer.defaults, **self.told(group)}
        self.steps[number] += 1
        gradient = -gradient if options["maximize"] else gradient
        rule = RULES[self.recipe.name]
        self.arrays[number] = rule(
            self.arrays[number], gradient, self.states[number], self.steps[number], {"amsgrad": False, **options}
        )

    def told(self, group: int) -> dict:
        """The options of a group as they stand now."""
        return {key: value for key, value in self.optimizer.param_groups[group].items() if key != "params"}

    def reload(self) -> None:
        """Go on with another optimizer of the same parameters that took over this one's state_dict."""
        groups = [{"params": group["params"]} for group in self.optimizer.param_groups]
        state = self.optimizer.state_dict()
        self.optimizer = self.recipe.new(groups, lr=123.0)
        self.optimizer.load_state_dict(state)

    def renew(self, **options) -> None:
        """Go on with a new optimizer of all parameters in one group, whose rule starts anew."""
        self.recipe = self.recipe.but(**options)
        self.members = [range(len(self.tensors))]
        self.states, self.steps = [{} for _ in self.tensors], [0 for _ in self.tensors]
        self.optimizer = self.recipe.new(self.tensors)

    def agree(self) -> None:
        """Raise AssertionError unless every element of every parameter is where its rule is, and nothing else moved."""
        for tensor, array in zip(self.tensors, self.arrays):
            agree(tensor, array.value, roundings=1, scale=array.error / array.unit)
            untouched(tensor)


# One of each kind of option; the rates are large enough that every rounding of a step would show in the parameter.
OPTIONS = {
    "SGD": (
        {"lr": 0.1},
        {"lr": 0.3, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.5, "dampening": 0.3, "weight_decay": 0.25},
        {"lr": 0.2, "momentum": 0.9, "nesterov": True},
        {"lr": 0.05, "maximize": True, "weight_decay": 0.5},
    ),
    "Adam": (
        {"lr": 0.1},
        {"lr": 0.5, "betas": (0.7, 0.6), "eps": 0.01, "weight_decay": 0.25},
        {"lr": 0.2, "amsgrad": True, "maximize": True, "betas": (0.5, 0.7)},
    ),
    "AdamW": ({"lr": 0.1}, {"lr": 0.5, "betas": (0.6, 0.8), "eps": 0.01, "weight_decay": 0.25}),
    "RMSprop": (
        {"lr": 0.1},
        {"lr": 0.3, "alpha": 0.6, "eps": 0.01, "momentum": 0.5, "weight_decay": 0.25},
        {"lr": 0.05, "centered": True, "alpha": 0.7, "eps": 0.5, "maximize": True},
    ),
    "Adagrad": (
        {"lr": 0.5},
        {"lr": 0.5, "lr_decay": 0.5, "weight_decay": 0.25, "initial_accumulator_value": 2.0, "eps": 0.01},
    ),
}


def optimizers(
    *names: str, ways: Sequence[str] = WAYS, dtypes: Sequence[torch.dtype] = FLOATS, options: dict | None = None
) -> Population:
    """Optimizers of these classes, all of RULES if none is named: every run meets each kind of option, twice.

    Once it is run as torch chooses, in float32 or float64, and once in another of the ``ways`` and of the ``dtypes``,
    which change from one to the next. ``options`` override those that OPTIONS tells.
    """
    told = [(name, {**each, **(options or {})}) for name in names or RULES for each in OPTIONS[name]]
    recipes = []
    for index, (name, each) in enumerate(told):
        other = ways[1:][index % len(ways[1:])] if len(ways) > 1 else ways[0]
        recipes.append(Recipe(name, tuple(each.items()), ways[0], dtypes[index % min(2, len(dtypes))]))
        recipes.append(Recipe(name, tuple(each.items()), other, dtypes[(index + 1) % len(dtypes)]))
    more = st.builds(
        lambda recipe, way, dtype, lr: replace(recipe.but(lr=lr), way=way, dtype=dtype),
        *(st.sampled_from(members) for members in (recipes, ways, dtypes)),
        st.floats(2**-9, 1.0, width=32),  # a rate that every dtype's smallest step still shows
    )
    return Population(tuple(recipes), more)
