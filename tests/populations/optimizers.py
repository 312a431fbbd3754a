"""Optimizers, and beside each its update rule written out in NumPy, in float64, with a bound on the roundings.

``recipe.on([twin, ...], ...)`` makes parameters, an optimizer of them, and the rule on arrays of the same values.
Whatever is done to both (steps, edits, groups added, a reload, a new optimizer), ``agree()`` compares them.
"""

import contextlib
import functools
import inspect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from hypothesis import strategies as st

from populations import places
from populations.comparing import accepted, agree, untouched
from populations.core import Population
from populations.initialisers import RELEASE
from populations.rounding import Rounded
from populations.rules import DEFAULTS, FURTHER, FURTHER_DEFAULTS, FURTHER_OPTIONS, OPTIONS, RULES
from populations.twins import FLOATS, HALVES, LAYOUTS, SINGLE_AND_DOUBLE, WRITABLE, Twin

WAYS = ("default", "for-loop", "foreach", "fused")


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


def ordinary():
    """New tensors on the CPU, as in most programs: on the first device, where tests make theirs, a count of steps
    would lie too, and foreach refuses it beside parameters on the second.
    """
    return contextlib.nullcontext() if places.place().type == "cpu" else torch.device("cpu")


@dataclass(frozen=True)
class Recipe:
    """An optimizer ``name`` of torch.optim with ``options``; ``way`` says which of its implementations runs.

    It is of parameters of ``dtype``, whatever that of the twins it is given; without one, each of its own. With
    ``tensors`` its rates are tensors of no dimension.
    """

    name: str
    options: tuple[tuple[str, object], ...]
    way: str = "default"
    dtype: torch.dtype | None = torch.float32
    tensors: bool = False

    def lacking(self) -> str | None:
        dtype = self.dtype or torch.float32
        if self.tensors and self.way == "foreach" and self.name.startswith("Adam"):
            return f"torch {torch.__version__} has no foreach {self.name} whose rate is a tensor"
        return places.lacks(dtype) or lacks(self.name, self.way, dtype, places.place().type)

    def but(self, **options) -> "Recipe":
        """The same recipe with other options: ``recipe.but(weight_decay=0.5)``."""
        return replace(self, options=tuple({**dict(self.options), **options}.items()))

    def new(self, parameters, **options) -> torch.optim.Optimizer:
        """The optimizer of these parameters or groups."""
        ways = {"default": {}, "for-loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
        with ordinary():
            given = self.held({**dict(self.options), **ways[self.way], **options})
            return getattr(torch.optim, self.name)(parameters, **given)

    def held(self, options: dict) -> dict:
        """``options``, with a rate among them held as this recipe says."""
        rate = {"lr": torch.tensor(options["lr"], dtype=torch.float64, device="cpu")} if self.tensors else {}
        return {**options, **rate}

    def on(self, *groups) -> "Beside":
        """The optimizer beside its rule. A group is a list of twins, or a pair of such a list and its own options."""
        return Beside(self, groups)


class Beside:
    """``optimizer``, the ``tensors`` that it holds, and beside each the rule's: ``arrays``, of the same values."""

    def __init__(self, recipe: Recipe, groups):
        self.recipe, self.twins, self.tensors, self.arrays = recipe, [], [], []
        self.states, self.steps, self.members, self.asked = [], [], [], 0
        self.groups = []  # the options of each group, kept apart from the optimizer's
        self.fused = recipe.way == "fused"
        self.optimizer = recipe.new([self._made(group) for group in groups])

    def _made(self, group) -> dict:
        twins, own = group if isinstance(group, tuple) else (group, {})
        first = len(self.tensors)
        for twin in twins:
            # a fused kernel takes elements in the order of memory: no gaps, and gradients laid out as their parameter
            layout = "contiguous" if self.fused and twin.layout == "gappy" else twin.layout
            kind = "parameter" if twin.kind == "view" else twin.kind  # only leaves are optimized
            twin = twin.but(dtype=self.recipe.dtype or twin.dtype, layout=layout, kind=kind)
            # what is to be differentiated is no leaf that requires gradients: those cannot be changed under a record
            tensor, array = twin.but(grad=not dict(self.recipe.options).get("differentiable"))
            self.twins.append(twin)
            self.tensors.append(tensor)
            self.arrays.append(self._rounded(array, twin))
            self.states.append({})
            self.steps.append(0)
        self.members.append(range(first, len(self.tensors)))
        self.groups.append({**(DEFAULTS | FURTHER_DEFAULTS)[self.recipe.name], **dict(self.recipe.options), **own})
        own = self.recipe.held({"lr": self.groups[-1]["lr"], **own}) if self.recipe.tensors else own
        return {"params": self.tensors[first:], **own}

    def _rounded(self, array: np.ndarray, twin: Twin) -> Rounded:
        """Of complex numbers both parts, in a last dimension: an optimizer takes them for two real numbers."""
        if not twin.dtype.is_complex:
            return Rounded(array, twin.dtype)
        return Rounded(np.stack([array.real, array.imag], -1), getattr(torch, torch.finfo(twin.dtype).dtype))

    def add(self, group) -> None:
        """Add a group later: a list of twins, or a pair of such a list and its own options."""
        self.optimizer.add_param_group(self._made(group))

    def edit(self, group: int, **options) -> None:
        """Change options of a group, in place."""
        held = self.optimizer.param_groups[group]
        for name, value in options.items():
            held[name] = held[name].fill_(value) if isinstance(held[name], torch.Tensor) else value
        self.expect(group, **options)

    def expect(self, group: int, **options) -> None:
        """Change options of the rule alone: somebody else changes those of the optimizer."""
        self.groups[group].update(options)

    def step(self, without: Sequence[int] = ()) -> None:
        """Take a step at new gradients, of other layouts than the parameters; those of ``without`` have none.

        One in four, each time another, is zero, so that momentum alone moves its parameter. Every second step finds
        the gradients written over those of the last one, where they lie. Every third step is given a closure, which
        takes them: until then those of the last step are there. Raises AssertionError where a step changes a gradient.
        """
        self.asked += 1
        taken = []

        def take_gradients() -> float:
            for number, (twin, tensor) in enumerate(zip(self.twins, self.tensors)):
                if number in without:
                    tensor.grad = None
                    continue
                layouts = WRITABLE if self.adds_to_gradients() else LAYOUTS
                layout = twin.layout if self.fused else layouts[(twin.seed + self.asked + number) % len(layouts)]
                # float16 rounds Adam's epsilon to 0, so that a gradient of 0 would give 0 / 0
                values = "positive" if twin.dtype in HALVES else "fractions"
                made, array = twin.but(layout=layout, values=values, grad=False, seed=twin.seed + self.asked)
                if (number + self.asked) % 4 == 3 and twin.dtype not in HALVES:
                    made, array = torch.zeros_like(made), np.zeros_like(array)
                own = tensor.grad is not None and 0 not in tensor.grad.stride()
                tensor.grad = tensor.grad.copy_(made) if own and self.asked % 2 == 0 else made
                taken.append((tensor, array))
                self._follow(number, self._rounded(array, twin))
            return 0.5 * torch.is_grad_enabled()

        with ordinary():
            if self.asked % 3:
                take_gradients()
                accepted(self.optimizer.step)
            else:
                given = accepted(self.optimizer.step, take_gradients)
                assert given == 0.5  # a closure records, and step hands its result on
        for tensor, array in () if self.adds_to_gradients() or self.asked > 3 else taken:  # as later steps do
            assert tensor.grad is not None
            agree(tensor.grad, array)

    def adds_to_gradients(self) -> bool:
        """Nesterov's momentum by whole lists, an accelerator's default, is added to the gradient itself."""
        return self.recipe.way in ("foreach", "default") and any(group.get("nesterov") for group in self.groups)

    def _follow(self, number: int, gradient: Rounded) -> None:
        group = next(at for at, members in enumerate(self.members) if number in members)
        options = {**self.groups[group], "fused": self.fused}
        self.steps[number] += 1
        gradient = -gradient if options["maximize"] else gradient
        rule = (RULES | FURTHER)[self.recipe.name]
        state, count = self.states[number], self.steps[number]
        with np.errstate(all="ignore"):  # of bounds, which may be infinite
            self.arrays[number] = rule(self.arrays[number], gradient, state, count, options)

    def reload(self) -> None:
        """Go on with another optimizer of the same parameters that took over this one's state_dict."""
        groups = [{"params": group["params"]} for group in self.optimizer.param_groups]
        state = self.optimizer.state_dict()
        other = {"lr": 123.0, "weight_decay": 3.0, "betas": (0.3, 0.2), "alpha": 0.2, "momentum": 0.125, "eps": 2.0}
        self.optimizer = self.recipe.new(
            groups, **{name: other[name] for name in {*other} & {*self.optimizer.defaults}}
        )
        self.optimizer.load_state_dict(state)

    def move(self) -> None:
        """Let each parameter lie elsewhere in memory, as after ``net.to(...)``."""
        for tensor in self.tensors:
            tensor.data = tensor.data.clone()

    def skip(self, count: int) -> None:
        """Count so many steps more than were taken, as in a training that is older."""
        for state in self.optimizer.state.values():
            if "step" in state:
                state["step"] += count
        self.steps = [steps + count for steps in self.steps]

    def renew(self, name: str, groups: list | None = None) -> None:
        """Go on with a new optimizer ``name`` of all parameters, or their one group, whose rule starts anew."""
        if name != self.recipe.name:
            self.recipe = replace(self.recipe, name=name, options=tuple(OPTIONS[name][0].items()))
        self.members = [range(len(self.tensors))]
        self.groups = [{**DEFAULTS[self.recipe.name], **dict(self.recipe.options)}]
        self.states, self.steps = [{} for _ in self.tensors], [0 for _ in self.tensors]
        self.optimizer = self.recipe.new(groups or self.tensors)

    def agree(self) -> None:
        """Raise AssertionError unless every element of every parameter is where its rule is, and nothing else moved,
        nor an option of a group.
        """
        for held, own in zip(self.optimizer.param_groups, self.groups):
            kept = {name: held[name] for name in own.keys() & held.keys()}
            assert kept == {name: own[name] for name in kept}
        for tensor, array in zip(self.tensors, self.arrays):
            array.agree(torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor)
            untouched(tensor)


# Steps that autograd could record: an implementation of their own
DIFFERENTIABLE = tuple(
    Recipe(name, tuple({**options[1], "weight_decay": 0.25, "differentiable": True}.items()))
    for name, options in OPTIONS.items()
)


# Six more of torch's optimizers, by loop and by lists, every option in a full precision and in a half one by each.
FURTHER_RECIPES = tuple(
    Recipe(name, tuple(options.items()), WAYS[1:3][number % 2], (*SINGLE_AND_DOUBLE, *HALVES)[number ^ at % 2])
    for name in FURTHER
    for at, options in enumerate(FURTHER_OPTIONS[name])
    for number in range(4)
    if options.keys() <= inspect.signature(getattr(torch.optim, name)).parameters.keys()
    and ((name, number % 2) != ("ASGD", 1) or RELEASE >= (2, 7))  # lists raised the step alone to alpha, not all of it
)
FURTHER_RECIPES += tuple(  # and those that autograd could record, whose products of factors torch keeps in float32
    Recipe(name, tuple(options.items()))
    for name in FURTHER
    for options in ({**FURTHER_OPTIONS[name][1], "differentiable": True},)
    if options.keys() <= inspect.signature(getattr(torch.optim, name)).parameters.keys()
)


def optimizers(
    *names: str,
    ways: Sequence[str] = WAYS,
    dtypes: Sequence[torch.dtype] = FLOATS,
    options: dict | None = None,
    turn: int = 0,
    turns: int = 1,
    tensors: Sequence[bool] = (False,),
) -> Population:
    """Optimizers of these classes, all of RULES if none is named: every run meets each kind of option.

    From one kind to the next another of the ``ways`` and of the ``dtypes`` is met; ``turn`` says with which they begin,
    so that two guards of one claim meet others, and ``turns`` how often each is met. ``options`` override those that
    OPTIONS tells. ``tensors`` says whether the rates are tensors: each recipe is met in either way.
    """
    told = [(name, {**each, **(options or {})}) for name in names or RULES for each in OPTIONS[name]]
    recipes = []
    for index, (name, each) in itertools.chain(*(enumerate(told, start) for start in range(turn, turn + turns))):
        able = [way for way in ways if (name, way) != ("RMSprop", "fused")]
        way, dtype = able[index % len(able)], dtypes[(index + index // len(ways)) % len(dtypes)]
        recipes.append(Recipe(name, tuple(each.items()), way, dtype))
    more = st.builds(
        lambda recipe, way, dtype, held, lr: replace(recipe.but(lr=lr), way=way, dtype=dtype, tensors=held),
        *(st.sampled_from(members) for members in (recipes, ways, dtypes, tensors)),
        st.floats(2**-9, 1.0, width=32),  # a rate that every dtype's smallest step still shows
    )
    return Population(tuple(replace(recipe, tensors=held) for held in tensors for recipe in recipes), more)
