"""The update rules of optimizers written out in NumPy, on values that know their own rounding, and their options."""

import numpy as np
import torch

from populations.rounding import Rounded

# Each takes a step of parameter ``w`` at gradient ``g``; ``state`` is a dict that it keeps, ``t`` counts from 1, ``o``
# are the group's options.


def sgd(w, g, state, t, o):
    """A decaying sum of the gradients, which starts at the first one undampened; Nesterov's looks a step ahead."""
    g = g + w * o["weight_decay"] if o["weight_decay"] else g
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
    g = g + w * o["weight_decay"] if o["weight_decay"] else g
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
    g = g + w * o["weight_decay"] if o["weight_decay"] else g
    state["sum"] = state.get("sum", g * 0 + o["initial_accumulator_value"]) + g * g
    rate = o["lr"] / (1 + (t - 1) * o["lr_decay"])
    single = 2.0**-23 * rate if torch.__version__ < (2, 1) else 0.0  # foreach kept the rate in float32
    return w - g * Rounded(rate, w.dtype, max(w.unit * rate, single)) / (state["sum"].sqrt() + o["eps"])


# What torch documents as the options of a group that names none; weight decay, momentum and all else are off.
NONE = {"weight_decay": 0, "momentum": 0, "dampening": 0, "nesterov": False, "maximize": False, "amsgrad": False}
DEFAULTS = {
    "SGD": {**NONE, "lr": 1e-3},
    "Adam": {**NONE, "lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8},
    "AdamW": {**NONE, "lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2},
    "RMSprop": {**NONE, "lr": 1e-2, "alpha": 0.99, "eps": 1e-8, "centered": False},
    "Adagrad": {**NONE, "lr": 1e-2, "lr_decay": 0, "initial_accumulator_value": 0, "eps": 1e-10},
}
RULES = {"SGD": sgd, "Adam": adam, "AdamW": adamw, "RMSprop": rmsprop, "Adagrad": adagrad}
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
