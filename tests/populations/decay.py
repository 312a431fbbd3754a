"""Parameters for weight decay: of every rank, one past powers of two, in every layout."""

import torch

from populations.optimizers import Recipe
from populations.twins import SINGLE_AND_DOUBLE, WRITABLE, Twin

DECAY = {"weight_decay": 0.25}
# of which the population of optimizers has no rule
OTHERS = [name for name in ("Adadelta", "Adamax", "NAdam", "RAdam", "ASGD", "Adafactor") if hasattr(torch.optim, name)]
# each remainder by 8 among their elements, the lanes of a vector
SHAPES = ((2, 3), (7,), (), (1,), (1, 1), (5, 3, 2, 2), (3, 1, 1, 2, 3), (261,), (0,), (65, 35), (2, 2, 2))
# Without float16, which rounds the epsilon of Adam to 0: where decay and gradient cancel, that leaves 0 / 0.
DTYPES = (*SINGLE_AND_DOUBLE, torch.bfloat16)


def parameters(recipe: Recipe, shapes=((3, 5), (13,), (), (1, 2, 7, 1), (2, 3, 2, 2), (257,))) -> list[Twin]:
    """Recipes of parameters: one of each shape, in layouts that go round."""
    return [
        Twin(recipe.dtype, shape, WRITABLE[index % len(WRITABLE)], "fractions", seed=index)
        for index, shape in enumerate(shapes)
    ]


def aged(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimizer after a hundred steps with gradients and rates of 0, which move nothing."""
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    for _ in range(100):
        optimizer.step()
    for group, rate in zip(optimizer.param_groups, rates):
        group["lr"] = rate
    return optimizer
