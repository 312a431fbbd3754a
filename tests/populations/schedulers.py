"""Learning rate schedulers, and beside each the number by which it multiplies the rates after n steps."""

import math

from torch.optim import lr_scheduler as of
from torch.optim.swa_utils import SWALR


def rates(optimizer, share: float = 1) -> list[float]:
    """A share of the rate of each group."""
    return [share * float(group["lr"]) for group in optimizer.param_groups]


def cycles(optimizer, **options):
    """From a quarter of the rates to all of them and back."""
    return of.CyclicLR(optimizer, rates(optimizer, 0.25), rates(optimizer), cycle_momentum=False, **options)


def one_cycle(optimizer, share: float, strategy: str, **options):
    """In six steps, by this share of them up from a quarter of the rates."""
    given = {"pct_start": share, "anneal_strategy": strategy, "cycle_momentum": False, "div_factor": 4, **options}
    return of.OneCycleLR(optimizer, rates(optimizer), 6, **given)


def every_second(gamma: float, n: int) -> float:
    return gamma ** (n // 2)


def chained(optimizer, gamma):
    return of.ChainedScheduler([of.ExponentialLR(optimizer, gamma), of.StepLR(optimizer, 2, gamma)])


SCHEDULERS = {
    "StepLR": (lambda optimizer, gamma: of.StepLR(optimizer, 2, gamma), every_second),
    "MultiStepLR": (lambda optimizer, gamma: of.MultiStepLR(optimizer, [2, 4], gamma), every_second),
    "MultiStepLR, three in a row": (
        lambda optimizer, gamma: of.MultiStepLR(optimizer, [1, 2, 3], gamma),
        lambda gamma, n: gamma ** min(n, 3),
    ),
    "LambdaLR": (lambda optimizer, gamma: of.LambdaLR(optimizer, lambda n: gamma ** (n // 2)), every_second),
    "ReduceLROnPlateau": (
        lambda optimizer, gamma: of.ReduceLROnPlateau(optimizer, factor=min(gamma, 0.25), patience=0, cooldown=1),
        lambda gamma, n: min(gamma, 0.25) ** (n // 2),  # which lowers rates alone
    ),
    "ReduceLROnPlateau, patient": (  # the first loss is the best; every second bad one after it counts
        lambda optimizer, gamma: of.ReduceLROnPlateau(optimizer, "max", min(gamma, 0.25), patience=1),
        lambda gamma, n: min(gamma, 0.25) ** (max(n - 1, 0) // 2),
    ),
    "MultiplicativeLR": (
        lambda optimizer, gamma: of.MultiplicativeLR(optimizer, lambda n: 1 if n % 2 else gamma),
        every_second,
    ),
    "ExponentialLR": (lambda optimizer, gamma: of.ExponentialLR(optimizer, gamma), lambda gamma, n: gamma**n),
    "ChainedScheduler": (chained, lambda gamma, n: gamma ** (n + n // 2)),
    "ConstantLR": (lambda optimizer, _: of.ConstantLR(optimizer, 0.25, 2), lambda _, n: 0.25 if n < 2 else 1),
    "LinearLR": (lambda optimizer, _: of.LinearLR(optimizer, 0.5, total_iters=3), lambda _, n: 0.5 + min(n, 3) / 6),
    "LinearLR to another end": (
        lambda optimizer, _: of.LinearLR(optimizer, 0.25, 0.75, 2),
        lambda _, n: 0.25 + min(n, 2) / 4,
    ),
    "PolynomialLR": (lambda optimizer, _: of.PolynomialLR(optimizer, 8), lambda _, n: 1 - n / 8),
    "PolynomialLR, squared": (
        lambda optimizer, _: of.PolynomialLR(optimizer, 4, 2.0),
        lambda _, n: (1 - min(n, 4) / 4) ** 2,
    ),
    "SequentialLR": (
        lambda optimizer, gamma: of.SequentialLR(
            optimizer, [of.ConstantLR(optimizer, 0.5, 100), of.ExponentialLR(optimizer, gamma)], [2]
        ),
        lambda gamma, n: 0.5 if n < 2 else gamma ** (n - 2),
    ),
    "SequentialLR of one class": (  # each counts its own steps from the beginning
        lambda optimizer, _: of.SequentialLR(
            optimizer, [of.ConstantLR(optimizer, factor, 2) for factor in (0.5, 0.25)], [3]
        ),
        lambda _, n: (0.5, 0.5, 1, 0.25, 0.25)[n] if n < 5 else 1,
    ),
    "OneCycleLR": (  # in two steps up from a quarter, in three down to it
        lambda optimizer, _: one_cycle(optimizer, 0.5, "linear", final_div_factor=1),
        lambda _, n: (0.25, 0.625, 1, 0.75, 0.5, 0.25)[n],
    ),
    "OneCycleLR by cosines": (
        lambda optimizer, _: one_cycle(optimizer, 0.5, "cos", final_div_factor=1),
        lambda _, n: (0.25, 0.625, 1, 0.8125, 0.4375, 0.25)[n],
    ),
    "OneCycleLR in three phases": (  # in one step up, in one down, in three to half of that
        lambda optimizer, _: one_cycle(optimizer, 1 / 3, "linear", final_div_factor=2, three_phase=True),
        lambda _, n: (0.25, 1, 0.25, 5 / 24, 4 / 24, 3 / 24)[n],
    ),
    "CyclicLR": (lambda optimizer, _: cycles(optimizer, step_size_up=2), lambda _, n: (0.25, 0.625, 1, 0.625)[n % 4]),
    "CyclicLR, one way longer": (
        lambda optimizer, _: cycles(optimizer, step_size_up=1, step_size_down=3),
        lambda _, n: (0.25, 1, 0.75, 0.5)[n % 4],
    ),
    "CyclicLR, ever halved": (
        lambda optimizer, _: cycles(optimizer, step_size_up=1, mode="triangular2"),
        lambda _, n: (0.25, 1, 0.25, 0.625, 0.25, 0.4375)[n],
    ),
    "CyclicLR, ever smaller": (
        lambda optimizer, _: cycles(optimizer, step_size_up=1, mode="exp_range", gamma=0.5),
        lambda _, n: 0.25 + 0.75 * 0.5**n * (n % 2),
    ),
    "SWALR": (
        lambda optimizer, _: SWALR(optimizer, rates(optimizer, 0.25), anneal_epochs=2, anneal_strategy="linear"),
        lambda _, n: (1, 0.625, 0.25)[min(n, 2)],
    ),
    "SWALR by cosines": (
        lambda optimizer, _: SWALR(optimizer, rates(optimizer, 0.25), anneal_epochs=3),
        lambda _, n: (1, 0.8125, 0.4375, 0.25)[min(n, 3)],
    ),
    "CosineAnnealingWarmRestarts": (
        lambda optimizer, _: of.CosineAnnealingWarmRestarts(optimizer, 3),
        lambda _, n: (1 + math.cos(math.pi * (n % 3) / 3)) / 2,
    ),
    "CosineAnnealingWarmRestarts, ever longer": (
        lambda optimizer, _: of.CosineAnnealingWarmRestarts(optimizer, 1, 2),
        lambda _, n: (1 + math.cos(math.pi * (0, 0, 1 / 2, 0, 1 / 4, 1 / 2)[n])) / 2,
    ),
    "CosineAnnealingLR and back": (
        lambda optimizer, _: of.CosineAnnealingLR(optimizer, 2),
        lambda _, n: (1 + math.cos(math.pi * n / 2)) / 2,
    ),
    "CosineAnnealingLR": (
        lambda optimizer, _: of.CosineAnnealingLR(optimizer, 3),
        lambda _, n: (1 + math.cos(math.pi * n / 3)) / 2,
    ),
}
