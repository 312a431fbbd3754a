"""The update rules of optimizers written out in NumPy, on values that know their own rounding, and their options."""

import numpy as np
import torch

from populations.rounding import Rounded

# Each takes a step of parameter ``w`` at gradient ``g``; ``state`` is a dict that it keeps, ``t`` counts from 1, ``o``
# are the group's options.


def decayed(w, g, o):
    return g + w * o["weight_decay"] if o["weight_decay"] else g


def sgd(w, g, state, t, o):
    """A decaying sum of the gradients, which starts at the first one undampened; Nesterov's looks a step ahead."""
    g = decayed(w, g, o)
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
    if decoupled or o.get("decoupled_weight_decay"):
        w = w * (1 - o["lr"] * o["weight_decay"])
    elif o["weight_decay"]:
        g = g + w * o["weight_decay"]
    state["mean"] = state.get("mean", g * 0) * first + g * (1 - first)
    state["square"] = square = state.get("square", g * 0) * second + g * g * (1 - second)
    if o["amsgrad"]:
        state["largest"] = square = square.largest(state.get("largest", square))
    # a fused kernel may compute what makes up for the start in the parameter's own dtype
    fused = np.abs(np.array([first**t, second**t])) * t * w.unit * 2 * bool(o["fused"])
    made_up = [Rounded(1 - beta**t, w.dtype, w.unit + error) for beta, error in zip(o["betas"], fused)]
    return w - state["mean"] / made_up[0] * o["lr"] / ((square / made_up[1]).sqrt() + o["eps"])


def adamw(w, g, state, t, o):
    """Adam, but the decay shrinks the parameter itself. I. Loshchilov and F. Hutter (2019), algorithm 2."""
    return adam(w, g, state, t, o, decoupled=True)


def rmsprop(w, g, state, t, o):
    """Gradients over the root of their mean square, which starts at zero; centred: over their standard deviation."""
    g = decayed(w, g, o)
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
    g = decayed(w, g, o)
    state["sum"] = state.get("sum", g * 0 + o["initial_accumulator_value"]) + g * g
    rate = o["lr"] / (1 + (t - 1) * o["lr_decay"])
    single = 2.0**-23 * rate if torch.__version__ < (2, 1) else 0.0  # foreach kept the rate in float32
    return w - g * Rounded(rate, w.dtype, max(w.unit * rate, single)) / (state["sum"].sqrt() + o["eps"])


def adadelta(w, g, state, t, o):
    """Gradients times the root of the mean square of the moves before, over that of their own. M. D. Zeiler (2012)."""
    g, rho = decayed(w, g, o), o["rho"]
    state["square"] = square = state.get("square", g * 0) * rho + g * g * (1 - rho)
    moved = state.get("moved", g * 0)
    move = (moved + o["eps"]).sqrt() / (square + o["eps"]).sqrt() * g
    state["moved"] = moved * rho + move * move * (1 - rho)
    return w - move * o["lr"]


def adamax(w, g, state, t, o):
    """Adam by the largest size, which decays, in place of the root. Kingma and Ba (2015), algorithm 2."""
    g, (first, second) = decayed(w, g, o), o["betas"]
    state["mean"] = mean = state.get("mean", g * 0) * first + g * (1 - first)
    state["size"] = size = (state.get("size", g * 0) * second).largest(g.largest(-g) + o["eps"])
    return w - mean / size * (o["lr"] / (1 - first**t))


def nadam(w, g, state, t, o):
    """Adam that looks a step ahead, with a momentum that grows. T. Dozat (2016)."""
    g, (first, second) = decayed(w, g, o), o["betas"]
    state["mean"] = mean = state.get("mean", g * 0) * first + g * (1 - first)
    state["square"] = square = state.get("square", g * 0) * second + g * g * (1 - second)
    now, ahead = (first * (1 - 0.5 * 0.96 ** (n * o["momentum_decay"])) for n in (t, t + 1))
    state["product"] = product = state.get("product", 1.0) * now
    made_up, ahead_s = (  # torch keeps the product in float32, whatever the parameter's dtype
        Rounded(1 - factor, w.dtype, w.unit + factor * t * 2.0**-23) for factor in (product, product * ahead)
    )
    root = (square / Rounded(1 - second**t, w.dtype, w.unit)).sqrt() + o["eps"]
    return w - g / made_up * (o["lr"] * (1 - now)) / root - mean / ahead_s * (o["lr"] * ahead) / root


def radam(w, g, state, t, o):
    """Adam whose mean square counts when enough steps are known, the more the later. L. Liu and others (2020)."""
    g, (first, second) = decayed(w, g, o), o["betas"]
    state["mean"] = mean = state.get("mean", g * 0) * first + g * (1 - first)
    state["square"] = square = state.get("square", g * 0) * second + g * g * (1 - second)
    mean, known = mean / Rounded(1 - first**t, w.dtype, w.unit), 1 - second**t
    most = 2 / (1 - second) - 1
    length = most - 2 * t * second**t / known
    if length > 5:
        share = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
        mean = mean / (square.sqrt() + o["eps"]) * (share * known) ** 0.5
    return w - mean * o["lr"]


def asgd(w, g, state, t, o):
    """Decay and gradient by a rate that falls from step to step, which torch keeps in float32. L. Bottou (2010)."""
    rate = o["lr"] / (1 + o["lambd"] * o["lr"] * (t - 1)) ** o["alpha"]
    rate = Rounded(rate, w.dtype, max(w.unit, 2.0**-23) * rate)
    g = decayed(w, g, o)
    return w - w * rate * o["lambd"] - g * rate


def rprop(w, g, state, t, o):
    """Each element by a step of its own, longer while its gradient keeps its sign, shorter and left out where that
    turns. M. Riedmiller and H. Braun (1993).
    """
    turned = np.sign(g.value * state.get("last", 0))
    step = state.get("step", g * 0 + o["lr"]) * np.choose((turned + 1).astype(int), (o["etas"][0], 1, o["etas"][1]))
    state["step"] = Rounded(np.clip(step.value, *o["step_sizes"]), w.dtype, step.error)
    state["last"] = np.where(turned < 0, 0, g.value)
    return w - state["step"] * np.sign(state["last"])


# What torch documents as the options of a group that names none; weight decay, momentum and all else are off.
NONE = {"weight_decay": 0, "momentum": 0, "dampening": 0, "nesterov": False, "maximize": False, "amsgrad": False}
DEFAULTS = {
    "SGD": {**NONE, "lr": 1e-3},
    "Adam": {**NONE, "lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8},
    "AdamW": {**NONE, "lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2},
    "RMSprop": {**NONE, "lr": 1e-2, "alpha": 0.99, "eps": 1e-8, "centered": False},
    "Adagrad": {**NONE, "lr": 1e-2, "lr_decay": 0, "initial_accumulator_value": 0, "eps": 1e-10},
}
BETAS = {"betas": (0.9, 0.999), "eps": 1e-8}
FURTHER_DEFAULTS = {
    "Adadelta": {**NONE, "lr": 1.0, "rho": 0.9, "eps": 1e-6},
    "Adamax": {**NONE, "lr": 2e-3, **BETAS},
    "NAdam": {**NONE, "lr": 2e-3, **BETAS, "momentum_decay": 4e-3},
    "RAdam": {**NONE, "lr": 1e-3, **BETAS},
    "ASGD": {**NONE, "lr": 1e-2, "lambd": 1e-4, "alpha": 0.75, "t0": 1e6},
    "Rprop": {**NONE, "lr": 1e-2, "etas": (0.5, 1.2), "step_sizes": (1e-6, 50)},
}
RULES = {"SGD": sgd, "Adam": adam, "AdamW": adamw, "RMSprop": rmsprop, "Adagrad": adagrad}
FURTHER = {"Adadelta": adadelta, "Adamax": adamax, "NAdam": nadam, "RAdam": radam, "ASGD": asgd, "Rprop": rprop}
# One of each kind of option; the rates are large enough that every rounding of a step would show in the parameter.
OPTIONS = {
    "SGD": (
        {"lr": 0.1},
        {"lr": 0.3, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.5, "dampening": 0.3, "weight_decay": 0.25},
        {"lr": 0.2, "momentum": 0.9, "nesterov": True},
        {"lr": 0.05, "momentum": 0.5, "maximize": True, "weight_decay": 0.5},
    ),
    "Adam": (
        {"lr": 0.1},
        {"lr": 0.5, "betas": (0.7, 0.6), "eps": 0.01, "weight_decay": 0.25},
        {"lr": 0.2, "amsgrad": True, "maximize": True, "betas": (0.5, 0.7)},
        {"lr": 0.1, "eps": 0.01, "maximize": True, "weight_decay": 0.5},
    ),
    "AdamW": (
        {"lr": 0.1},
        {"lr": 0.5, "betas": (0.6, 0.8), "eps": 0.01, "weight_decay": 0.25, "amsgrad": True},
        {"lr": 0.2, "maximize": True, "weight_decay": 0.5},
    ),
    "RMSprop": (
        {"lr": 0.1},
        {"lr": 0.3, "alpha": 0.6, "eps": 0.01, "momentum": 0.5, "weight_decay": 0.25},
        {"lr": 0.05, "centered": True, "alpha": 0.7, "eps": 0.5, "maximize": True},
        {"lr": 0.1, "alpha": 0.6, "eps": 0.5, "maximize": True, "weight_decay": 0.5},
    ),
    "Adagrad": (
        {"lr": 0.5},
        {"lr": 0.5, "lr_decay": 0.5, "weight_decay": 0.25, "initial_accumulator_value": 2.0, "eps": 0.01},
        {"lr": 0.25, "maximize": True},
        {"lr": 0.5, "eps": 0.5, "maximize": True, "weight_decay": 0.5},
    ),
}
DECAYING = {"lr": 0.1, "weight_decay": 0.25, "eps": 0.01}
FURTHER_OPTIONS = {
    "Adadelta": ({}, {"lr": 0.5, "rho": 0.6, "eps": 0.01, "weight_decay": 0.25, "maximize": True}, DECAYING),
    "Adamax": (
        {"lr": 0.1},
        {"lr": 0.5, "betas": (0.7, 0.6), "eps": 0.01, "weight_decay": 0.25, "maximize": True},
        DECAYING,
    ),
    "NAdam": (
        {"lr": 0.1},
        {"lr": 0.5, "betas": (0.7, 0.6), "eps": 0.01, "momentum_decay": 0.5, "weight_decay": 0.25, "maximize": True},
        DECAYING,
    ),
    "RAdam": (
        {"lr": 0.1},
        {"lr": 0.5, "betas": (0.7, 0.9), "eps": 0.01, "weight_decay": 0.25, "maximize": True},
        DECAYING,
    ),
    "ASGD": (
        {"lr": 0.1},
        {"lr": 0.5, "lambd": 0.5, "alpha": 0.5, "weight_decay": 0.25, "maximize": True},
        {"lr": 0.1, "weight_decay": 0.25},
    ),
    "Rprop": ({"lr": 0.1}, {"lr": 0.5, "etas": (0.25, 1.5), "step_sizes": (0.125, 2.0), "maximize": True}),
}
