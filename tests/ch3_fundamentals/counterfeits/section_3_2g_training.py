"""Counterfeits of section 3.2, training: steps, gradients and clearing that go wrong in one way."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import around_step, change_method, parameters_of, wrap
from torch import nn
from torch.nn import functional as F
from torch.optim import LBFGS, SGD, Adam, Optimizer, RMSprop

# ── step-updates-parameters ──


@counterfeit("step-updates-parameters")
def step_replaces_the_parameters_memory(patch):
    def after(self):
        for p in parameters_of(self):
            p.data = p.data.clone()

    around_step(patch, SGD, after=after)


@counterfeit("step-updates-parameters")
def adam_leaves_the_bias(patch):
    around_step(patch, Adam, before=lambda self: [p.grad.zero_() for p in parameters_of(self) if p.dim() == 1])


@counterfeit("step-updates-parameters")
def rmsprop_loses_the_sign_of_the_gradient(patch):
    around_step(patch, RMSprop, before=lambda self: [setattr(p, "grad", p.grad.abs()) for p in parameters_of(self)])


@counterfeit("step-updates-parameters")
def step_clears_the_gradients(patch):
    around_step(patch, SGD, after=lambda self: [p.grad.zero_() for p in parameters_of(self)])


@counterfeit("step-updates-parameters")
def step_decays_parameters_without_a_gradient(patch):
    around_step(patch, Adam, after=lambda self: [p.data.mul_(0.999) for p in parameters_of(self) if p.grad is None])


@counterfeit("step-updates-parameters")
def step_normalises_the_gradients_in_place(patch):
    """The first step is right; the gradient that it leaves is not."""

    def after(self):
        for p in parameters_of(self):
            if p.grad is not None:
                p.grad.div_(p.grad.norm())

    around_step(patch, SGD, after=after)


@counterfeit("step-updates-parameters")
def step_does_nothing_every_third_time(patch):
    def wrong(step, self, *args, **kwargs):
        self.calls = getattr(self, "calls", 0) + 1
        return None if self.calls % 3 == 0 else step(self, *args, **kwargs)

    wrap(patch, SGD, "step", wrong)


@counterfeit("step-updates-parameters")
def lbfgs_steps_without_a_closure_by_the_gradients_that_are_there(patch):
    wrap(patch, LBFGS, "step", lambda step, self, closure=lambda: torch.tensor(0.0): step(self, closure))


@counterfeit("step-updates-parameters")
def lbfgs_overshoots_its_first_step(patch):
    around_step(patch, LBFGS, before=lambda self: self.param_groups[0].update(lr=2 * self.param_groups[0]["lr"]))


# ── step-is-given-the-batch-size ──


@counterfeit("step-is-given-the-batch-size")
def step_averages_over_three_samples(patch):
    """As the notes have it: the gradients are sums, and `step` divides them by the batch size."""
    around_step(patch, SGD, before=lambda self: [p.grad.div_(3) for p in parameters_of(self) if p.grad is not None])


@counterfeit("step-is-given-the-batch-size")
def step_takes_any_keyword(patch):
    wrap(patch, SGD, "step", lambda step, self, closure=None, **ignored: step(self, closure))


@counterfeit("step-is-given-the-batch-size")
def mse_loss_averages_whatever_the_reduction(patch):
    wrap(patch, F, "mse_loss", lambda right, input, target, reduction="mean": right(input, target))


# ── optimizer-zero-grad-equals-net-zero-grad ──


@counterfeit("optimizer-zero-grad-equals-net-zero-grad")
def zero_grad_of_a_network_clears_its_own_layer_only(patch):
    def zero_grad(self, set_to_none=True):
        for p in list(self.parameters())[:2]:
            p.grad = None

    patch.setattr(nn.Module, "zero_grad", zero_grad)


@counterfeit("optimizer-zero-grad-equals-net-zero-grad")
def zero_grad_of_an_optimizer_misses_the_last_parameter(patch):
    def zero_grad(self, set_to_none=True):
        for p in parameters_of(self)[:-1]:
            p.grad = None

    patch.setattr(Optimizer, "zero_grad", zero_grad)


@counterfeit("optimizer-zero-grad-equals-net-zero-grad")
def zero_grad_of_an_optimizer_clears_the_first_group_only(patch):
    def zero_grad(self, set_to_none=True):
        for p in self.param_groups[0]["params"]:
            p.grad = None

    patch.setattr(Optimizer, "zero_grad", zero_grad)


@counterfeit("optimizer-zero-grad-equals-net-zero-grad")
def zero_grad_of_a_network_skips_frozen_parameters(patch):
    def zero_grad(self, set_to_none=True):
        for p in self.parameters():
            if p.requires_grad:
                p.grad = None

    patch.setattr(nn.Module, "zero_grad", zero_grad)


@counterfeit("optimizer-zero-grad-equals-net-zero-grad")
def zero_grad_clears_whatever_any_module_holds(patch):
    """`zero_grad` of one network, or of a part, clears all networks ever built."""
    built = []
    init = nn.Linear.__init__

    def remember(self, *args, **kwargs):
        init(self, *args, **kwargs)
        built.append(self)

    def clear(self, set_to_none=True):
        for p in (p for layer in built for p in layer.parameters()):
            p.grad = None

    patch.setattr(nn.Linear, "__init__", remember)
    patch.setattr(Optimizer, "zero_grad", clear)
    patch.setattr(nn.Module, "zero_grad", clear)


# ── zero-grad-sets-gradients-to-zero ──


@counterfeit("zero-grad-sets-gradients-to-zero")
def zero_grad_of_a_network_still_fills_with_zeros(patch):
    wrap(patch, nn.Module, "zero_grad", lambda zero_grad, self, set_to_none=False: zero_grad(self, set_to_none))


@counterfeit("zero-grad-sets-gradients-to-zero")
def zero_grad_of_an_optimizer_still_fills_with_zeros(patch):
    wrap(patch, Optimizer, "zero_grad", lambda zero_grad, self, set_to_none=False: zero_grad(self, set_to_none))


@counterfeit("zero-grad-sets-gradients-to-zero")
def zero_grad_puts_new_zeros_in_place_of_the_gradients(patch):
    def zero_grad(self, set_to_none=True):
        for p in self.parameters():
            p.grad = None if set_to_none else torch.zeros_like(p)

    patch.setattr(nn.Module, "zero_grad", zero_grad)


@counterfeit("zero-grad-sets-gradients-to-zero")
def zero_grad_of_an_optimizer_multiplies_by_zero_instead_of_filling(patch):
    """A gradient that is infinite then becomes NaN, not zero."""

    def zero_grad(self, set_to_none=True):
        for p in parameters_of(self):
            p.grad = None if set_to_none or p.grad is None else p.grad.mul_(0.0)

    patch.setattr(Optimizer, "zero_grad", zero_grad)


@counterfeit("zero-grad-sets-gradients-to-zero")
def zero_grad_fills_the_bias_only(patch):
    def zero_grad(self, set_to_none=True):
        for p in self.parameters():
            p.grad = None if set_to_none else p.grad.zero_() if p.dim() == 1 else p.grad

    patch.setattr(nn.Module, "zero_grad", zero_grad)


# ── linear-regression-converges ──


@counterfeit("linear-regression-converges")
def sgd_learns_at_a_tenth_of_the_rate(patch):
    around_step(patch, SGD, before=lambda self: [p.grad.div_(10) for p in parameters_of(self)])


@counterfeit("linear-regression-converges")
def sgd_does_not_learn_the_bias(patch):
    around_step(patch, SGD, before=lambda self: [p.grad.zero_() for p in parameters_of(self) if p.dim() == 1])


@counterfeit("linear-regression-converges")
def sgd_decays_the_weights(patch):
    around_step(patch, SGD, after=lambda self: [p.data.mul_(0.9995) for p in parameters_of(self) if p.dim() == 2])


@counterfeit("linear-regression-converges")
def zero_grad_takes_away_a_hundredth(patch):
    def zero_grad(self, set_to_none=True):
        for p in parameters_of(self):
            p.grad = None if p.grad is None else p.grad * 0.99

    patch.setattr(SGD, "zero_grad", zero_grad)


@counterfeit("linear-regression-converges")
def view_of_labels_shifts_them_by_one(patch):
    change_method(patch, "view", lambda view, self, *shape: view(self.roll(1, 0), *shape))


@counterfeit("linear-regression-converges")
def mse_loss_reports_half_of_what_it_minimises(patch):
    def wrong(right, input, target, reduction="mean"):
        loss = right(input, target, reduction=reduction)
        return loss - loss.detach() / 2

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("linear-regression-converges")
def gradients_come_with_noise(patch):
    around_step(patch, SGD, before=lambda self: [p.grad.add_(torch.randn_like(p)) for p in parameters_of(self)])


# ── faults of many parameters, deep networks, and later steps ──


@counterfeit("step-updates-parameters")
def sgd_updates_the_first_eight_parameters_only(patch):
    def before(self):
        for p in parameters_of(self)[8:]:
            p.grad = None

    around_step(patch, SGD, before=before)


@counterfeit("step-updates-parameters")
def adamw_forgets_elements_beyond_sixteen_bits(patch):
    def before(self):
        for p in parameters_of(self):
            if p.grad is not None and p.numel() > 65536:
                p.grad = torch.cat([p.grad.reshape(-1)[:65536], p.grad.reshape(-1)[65536:] * 0]).view(p.shape)

    around_step(patch, torch.optim.AdamW, before=before)


@counterfeit("step-updates-parameters")
def a_parameter_without_a_gradient_ages(patch):
    """Adam counts a step for it all the same."""

    def after(self):
        for p, state in self.state.items():
            if p.grad is None and state:
                state["step"] += 1

    around_step(patch, Adam, after=after)


@counterfeit("step-updates-parameters")
def sgd_writes_between_the_elements_of_a_parameter(patch):
    def after(self):
        for p in parameters_of(self):
            if not p.is_contiguous() and p.numel():
                p.data.as_strided((1,), (1,), 0).add_(0 if p.storage_offset() == 0 else 1)

    around_step(patch, SGD, after=after)


@counterfeit("step-is-given-the-batch-size")
def adam_takes_a_batch_size(patch):
    wrap(patch, Adam, "step", lambda step, self, closure=None, batch_size=1: step(self, closure))


@counterfeit("optimizer-zero-grad-equals-net-zero-grad")
def zero_grad_of_adam_fills_with_zeros(patch):
    zero_grad = Optimizer.zero_grad
    patch.setattr(Adam, "zero_grad", lambda self, set_to_none=False: zero_grad(self, set_to_none), raising=False)


@counterfeit("optimizer-zero-grad-equals-net-zero-grad")
def zero_grad_of_an_optimizer_drops_its_momentum(patch):
    def wrong(zero_grad, self, set_to_none=True):
        zero_grad(self, set_to_none)
        self.state.clear()

    wrap(patch, Optimizer, "zero_grad", wrong)


@counterfeit("optimizer-zero-grad-equals-net-zero-grad")
def zero_grad_of_a_network_stops_at_the_second_level(patch):
    def zero_grad(self, set_to_none=True):
        for module in (self, *self.children()):
            for p in module.parameters(recurse=False):
                p.grad = None

    patch.setattr(nn.Module, "zero_grad", zero_grad)


@counterfeit("optimizer-zero-grad-equals-net-zero-grad")
def zero_grad_of_an_optimizer_stops_at_the_second_group(patch):
    def zero_grad(self, set_to_none=True):
        for p in [p for group in self.param_groups[:2] for p in group["params"]]:
            p.grad = None

    patch.setattr(Optimizer, "zero_grad", zero_grad)


@counterfeit("zero-grad-sets-gradients-to-zero")
def zero_grad_of_half_precision_leaves_infinities(patch):
    def wrong(zero_grad, self, set_to_none=True):
        kept = [p for p in parameters_of(self) if p.dtype == torch.float16 and not set_to_none and p.grad is not None]
        infinite = [p.grad.isinf() for p in kept]
        zero_grad(self, set_to_none)
        for p, mask in zip(kept, infinite):
            p.grad[mask] = float("inf")

    wrap(patch, Optimizer, "zero_grad", wrong)


# ── epoch-loss-weights-batches-by-size ──


@counterfeit("epoch-loss-weights-batches-by-size")
def mse_loss_of_a_batch_of_one_is_halved(patch):
    wrap(patch, F, "mse_loss", lambda right, a, b, **how: right(a, b, **how) / (2 if a.numel() == 1 else 1))


@counterfeit("epoch-loss-weights-batches-by-size")
def mse_loss_divides_by_the_largest_batch_so_far(patch):
    right, largest = F.mse_loss, [1]

    def wrong(a, b, **how):
        largest[0] = max(largest[0], a.numel())
        return right(a, b, reduction="sum") / largest[0]

    patch.setattr(F, "mse_loss", wrong)


@counterfeit("step-updates-parameters", "weight-decay-equals-l2-regularisation", reported="pytorch/pytorch#12218")
def weight_decay_is_added_to_the_gradient_itself(patch):
    def before(optimizer):
        with torch.no_grad():
            for group in optimizer.param_groups:
                for p in group["params"]:
                    if p.grad is not None and group["weight_decay"]:
                        p.grad.add_(p, alpha=group["weight_decay"])
            optimizer.was = [group["weight_decay"] for group in optimizer.param_groups]
            for group in optimizer.param_groups:
                group["weight_decay"] = 0

    def after(optimizer):
        for group, was in zip(optimizer.param_groups, optimizer.was):
            group["weight_decay"] = was

    around_step(patch, torch.optim.SGD, before, after)


@counterfeit("step-updates-parameters")
def a_parameter_without_a_gradient_goes_on_by_its_momentum(patch):
    def before(o):
        o.none = [p for p in parameters_of(o) if p.grad is None and o.state.get(p)]
        for p in o.none:
            p.grad = torch.zeros_like(p)

    def after(o):
        for p in o.none:
            p.grad = None

    around_step(patch, torch.optim.SGD, before, after)


def another_way(patch, kind, way):
    """Let an optimizer of ``kind`` that is asked for ``way`` (fused or foreach) quietly loop."""
    init = kind.__init__

    def wrong(self, *args, **options):
        init(self, *args, **{**options, **({way: False} if options.get(way) else {})})

    patch.setattr(kind, "__init__", wrong)


@counterfeit("step-updates-parameters")
def fused_adam_goes_by_strides(patch):
    """The truth line."""
    another_way(patch, torch.optim.Adam, "fused")


@counterfeit("step-updates-parameters")
def nesterov_s_momentum_leaves_the_gradient_as_it_is(patch):
    """The truth line."""
    another_way(patch, torch.optim.SGD, "foreach")


@counterfeit("step-updates-parameters")
def adam_counts_a_step_for_a_parameter_without_a_gradient(patch):
    def before(o):
        for p in parameters_of(o):
            if p.grad is None and o.state.get(p):
                o.state[p]["step"] += 1

    around_step(patch, torch.optim.Adam, before)


@counterfeit("optimizer-zero-grad-equals-net-zero-grad", "zero-grad-sets-gradients-to-zero")
def zero_grad_leaves_the_second_group(patch):
    def wrong(zero, self, set_to_none=True):
        kept = [(p, p.grad) for g in self.param_groups[1:] for p in g["params"]]
        zero(self, set_to_none)
        for p, g in kept:
            p.grad = g

    wrap(patch, torch.optim.Optimizer, "zero_grad", wrong)


@counterfeit("linear-regression-converges")
def sgd_of_a_list_leaves_one_dimensional_parameters_alone(patch):
    right_init, right = torch.optim.SGD.__init__, torch.optim.SGD.step

    def init(self, params, *args, **rest):
        self.of_a_list = (
            isinstance(params, list) and all(isinstance(p, torch.Tensor) for p in params) and len(params) > 1
        )
        right_init(self, params, *args, **rest)

    def step(self, closure=None):
        if not getattr(self, "of_a_list", False):
            return right(self, closure)
        old = [(p, p.detach().clone()) for g in self.param_groups for p in g["params"] if p.dim() == 1]
        result = right(self, closure)
        for p, value in old:
            p.data.copy_(value)
        return result

    patch.setattr(torch.optim.SGD, "__init__", init)
    patch.setattr(torch.optim.SGD, "step", step)
