"""Ways to run a part of a system of which less is kept for the way back, or something else, or which is run again."""

from dataclasses import dataclass

import torch
from torch.utils import checkpoint

from populations import places
from populations.comparing import host


def kept(*hooks):
    """Run a part while hooks change what is kept of it for the way back, or while it is kept on the CPU."""

    def run(part, x):
        with torch.autograd.graph.saved_tensors_hooks(*hooks) if hooks else torch.autograd.graph.save_on_cpu():
            return part(x)

    return run


WAYS = {  # to run a part of a system, of which some keep less for the way back, or something else
    "checkpoint": lambda part, x: checkpoint.checkpoint(part, x, use_reentrant=False),
    "checkpoint, reentrant": lambda part, x: checkpoint.checkpoint(part, x, use_reentrant=True),
    "checkpoint of two inputs": lambda part, x: checkpoint.checkpoint(
        lambda one, other: part(one / 2 + other / 2), x, x * 1, use_reentrant=False
    ),
    "checkpoints of a sequence": lambda part, x: checkpoint.checkpoint_sequential(part, 2, x, use_reentrant=False),
    "parameters handed over": lambda part, x: torch.func.functional_call(part, dict(part.named_parameters()), (x,)),
    "kept on the CPU": kept(),
    "kept as arrays": kept(lambda x: (host(x).copy(), x.device), lambda pair: torch.tensor(pair[0], device=pair[1])),
}


@dataclass(frozen=True)
class Way:
    """A recipe: one of WAYS."""

    name: str

    def lacking(self) -> str | None:
        """Why the device cannot have it: a checkpoint asks for automatic precision there, even if none is in use."""
        if "checkpoint" not in self.name:
            return None
        try:
            torch.amp.autocast(places.place().type)
        except (AssertionError, RuntimeError) as error:
            return str(error).partition(".")[0]
        return None
