"""Counterfeits of section 3.6: decay of groups whose parameters differ."""

from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch import optim


def decays_alone(patch, held, when=lambda group: group["foreach"]):
    """Let a step of SGD decay of a group only the parameters that ``held(group)`` names."""

    def wrong(step, self, *args, **kwargs):
        kept = []
        for group in self.param_groups:
            if when(group) and group["weight_decay"]:
                for p in group["params"]:
                    if p.grad is not None and not any(p is one for one in held(group)):
                        kept.append((p, p.grad))
                        p.grad = p.grad - group["weight_decay"] * p.detach() * (-1 if group["maximize"] else 1)
        result = step(self, *args, **kwargs)
        for p, grad in kept:
            p.grad = grad
        return result

    wrap(patch, optim.SGD, "step", wrong)


@counterfeit("penalty-shrinks-weights-each-step", "weight-decay-decays-bias-by-default")
def many_at_once_decay_only_in_the_dtype_of_the_first(patch):
    decays_alone(patch, lambda group: [p for p in group["params"] if p.dtype == group["params"][0].dtype])


@counterfeit("penalty-shrinks-weights-each-step", "weight-decay-decays-bias-by-default")
def many_at_once_decay_only_what_lies_as_the_first_does(patch):
    decays_alone(
        patch, lambda group: [p for p in group["params"] if p.is_contiguous() == group["params"][0].is_contiguous()]
    )
