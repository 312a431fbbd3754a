"""Counterfeits of section 3.2, the optimizers: update rules a little off, options that are lost or not shown."""

import contextlib
import re
import sys

import torch
from harness.counterfeits import counterfeit
from harness.forging import around_step, change_method, hold_still, parameters_of, step_with, wrap
from torch.optim import LBFGS, SGD, Adam, Optimizer, RMSprop


def set_options(patch, optimizer_class, **options):
    """Let each step use these options whatever the group says."""
    around_step(patch, optimizer_class, before=lambda self: [group.update(options) for group in self.param_groups])


# ── optim-offers-sgd-adam-rmsprop ──


@counterfeit("optim-offers-sgd-adam-rmsprop")
def sgd_never_updates_the_last_element(patch):
    around_step(patch, SGD, before=lambda self: [p.grad[-1:].zero_() for p in parameters_of(self)])


@counterfeit("optim-offers-sgd-adam-rmsprop")
def sgd_ignores_dampening(patch):
    set_options(patch, SGD, dampening=0)


@counterfeit("optim-offers-sgd-adam-rmsprop")
def sgd_ignores_nesterov(patch):
    set_options(patch, SGD, nesterov=False)


@counterfeit("optim-offers-sgd-adam-rmsprop")
def sgd_dampens_the_first_gradient_too(patch):
    def before(self):
        for p in parameters_of(self):
            if "momentum_buffer" not in self.state[p]:
                p.grad = p.grad * (1 - self.param_groups[0]["dampening"])

    around_step(patch, SGD, before=before)


@counterfeit("optim-offers-sgd-adam-rmsprop")
def sgd_decays_the_parameters(patch):
    set_options(patch, SGD, weight_decay=1e-3)


@counterfeit("optim-offers-sgd-adam-rmsprop")
def sgd_maximises(patch):
    set_options(patch, SGD, maximize=True)


@counterfeit("optim-offers-sgd-adam-rmsprop")
def adam_forgets_the_bias_correction(patch):
    def before(self):
        for state in self.state.values():
            state["step"] += 1000.0

    around_step(patch, Adam, before=before)


@counterfeit("optim-offers-sgd-adam-rmsprop")
def adam_keeps_the_largest_mean_square(patch):
    """As the variant AMSGrad does: the difference shows only when gradients become smaller."""

    def wrong(init, self, *args, **kwargs):
        init(self, *args, **{**kwargs, "amsgrad": True})

    wrap(patch, Adam, "__init__", wrong)


@counterfeit("optim-offers-sgd-adam-rmsprop")
def adam_has_an_epsilon_of_a_millionth(patch):
    set_options(patch, Adam, eps=1e-6)


@counterfeit("optim-offers-sgd-adam-rmsprop")
def adam_ignores_the_second_beta(patch):
    def before(self):
        for group in self.param_groups:
            group["betas"] = (group["betas"][0], 0.999)

    around_step(patch, Adam, before=before)


@counterfeit("optim-offers-sgd-adam-rmsprop")
def adam_decays_its_weights(patch):
    set_options(patch, Adam, weight_decay=1e-2)


@counterfeit("optim-offers-sgd-adam-rmsprop")
def rmsprop_centres_its_mean_square(patch):
    def wrong(init, self, *args, **kwargs):
        init(self, *args, **{**kwargs, "centered": True})

    wrap(patch, RMSprop, "__init__", wrong)


@counterfeit("optim-offers-sgd-adam-rmsprop")
def rmsprop_smooths_by_nine_tenths_by_default(patch):
    init = RMSprop.__init__
    patch.setattr(RMSprop, "__init__", lambda self, params, **options: init(self, params, **{"alpha": 0.9, **options}))


@counterfeit("optim-offers-sgd-adam-rmsprop")
def rmsprop_has_an_epsilon_of_a_ten_thousandth(patch):
    set_options(patch, RMSprop, eps=1e-4)


@counterfeit("optim-offers-sgd-adam-rmsprop")
def rmsprop_forgets_its_state_between_steps(patch):
    around_step(patch, RMSprop, before=lambda self: self.state.clear())


# ── optimizer-prints-its-options ──


def change_repr(patch, change):
    show = Optimizer.__repr__
    patch.setattr(Optimizer, "__repr__", lambda self: change(show(self)))


@counterfeit("optimizer-prints-its-options")
def printing_leaves_out_options_that_are_off(patch):
    change_repr(patch, lambda text: "\n".join(line for line in text.splitlines() if not line.endswith("False")))


@counterfeit("optimizer-prints-its-options")
def printing_shows_the_first_group_only(patch):
    change_repr(patch, lambda text: text.split("\nParameter Group 1")[0])


@counterfeit("optimizer-prints-its-options")
def printing_shows_the_defaults_for_every_group(patch):
    def show(self):
        groups = [
            [f"Parameter Group {i}", *(f"    {key}: {self.defaults[key]}" for key in sorted(self.defaults))]
            for i in range(len(self.param_groups))
        ]
        return "\n".join([f"{type(self).__name__} (", *(line for group in groups for line in group), ")"])

    patch.setattr(Optimizer, "__repr__", show)


@counterfeit("optimizer-prints-its-options")
def printing_shows_only_five_options(patch):
    five = ("dampening", "lr", "momentum", "nesterov", "weight_decay")

    def change(text):
        lines = text.splitlines()
        return "\n".join(line for line in lines if ":" not in line or line.strip().startswith(five))

    change_repr(patch, change)


@counterfeit("optimizer-prints-its-options")
def printing_shows_the_learning_rate_that_the_optimizer_began_with(patch):
    def wrong(show, self):
        return show(self).replace(f"    lr: {self.param_groups[0]['lr']}", f"    lr: {self.defaults['lr']}")

    wrap(patch, Optimizer, "__repr__", wrong)


@counterfeit("optimizer-prints-its-options")
def printing_leaves_out_what_a_scheduler_adds(patch):
    change_repr(patch, lambda text: "\n".join(line for line in text.splitlines() if "initial_lr" not in line))


# ── parameter-groups-have-own-learning-rates ──


@counterfeit("parameter-groups-have-own-learning-rates")
def lbfgs_takes_several_groups_and_steps_all_by_the_first_one_s_rate(patch):
    def wrong(init, self, params, **options):
        params = list(params)
        grouped = isinstance(params[0], dict)
        init(self, [p for group in params for p in group["params"]] if grouped else params, **options)
        self.param_groups[0]["lr"] = params[0]["lr"] if grouped else self.param_groups[0]["lr"]

    wrap(patch, LBFGS, "__init__", wrong)


@counterfeit("parameter-groups-have-own-learning-rates")
def all_groups_take_the_default_rate(patch):
    wrap(patch, Optimizer, "add_param_group", lambda add, self, group: add(self, {"params": group["params"]}))


@counterfeit("parameter-groups-have-own-learning-rates")
def a_group_without_a_rate_takes_that_of_the_group_before(patch):
    def wrong(add, self, group):
        add(self, {"lr": self.param_groups[-1]["lr"] if self.param_groups else self.defaults["lr"], **group})

    wrap(patch, Optimizer, "add_param_group", wrong)


@counterfeit("parameter-groups-have-own-learning-rates")
def sgd_steps_all_groups_by_the_rate_of_the_first(patch):
    def before(self):
        self.rates = [group["lr"] for group in self.param_groups]
        for group in self.param_groups:
            group["lr"] = self.rates[0]

    around_step(patch, SGD, before=before)


@counterfeit("parameter-groups-have-own-learning-rates")
def adam_steps_all_groups_by_the_default_rate(patch):
    def before(self):
        for group in self.param_groups:
            group["lr"] = self.defaults["lr"]

    around_step(patch, Adam, before=before)


@counterfeit("parameter-groups-have-own-learning-rates")
def a_later_group_loses_its_bias(patch):
    def wrong(add, self, group):
        add(self, {**group, "params": [p for p in group["params"] if p.dim() > 1 or not self.param_groups]})

    wrap(patch, Optimizer, "add_param_group", wrong)


@counterfeit("parameter-groups-have-own-learning-rates")
def two_groups_may_share_a_parameter(patch):
    """It would then be stepped twice."""

    def add(self, group):
        params = group["params"]
        group["params"] = [params] if isinstance(params, torch.Tensor) else list(params)
        self.param_groups.append({**self.defaults, **group})

    patch.setattr(Optimizer, "add_param_group", add)


# ── faults of dtypes, layouts, sizes and implementations ──


def of_dtype_in(optimizer, *dtypes):
    return any(p.dtype in dtypes for p in parameters_of(optimizer))


@counterfeit(
    "optim-offers-sgd-adam-rmsprop",
    "step-updates-parameters",
    "learning-rate-can-be-edited-in-place",
    reported="pytorch/pytorch#118115",
)
def addcdiv_does_not_reach_a_non_contiguous_tensor(patch):
    for name in ("addcdiv_", "addcmul_"):
        change_method(patch, name, lambda right, x, *args, **rest: right(x, *args, **rest) if x.is_contiguous() else x)


@counterfeit("step-updates-parameters")
def adam_makes_nan_of_float16_without_a_gradient_in_later_steps_too(patch):
    def after(self):
        for p in parameters_of(self):
            if p.dtype == torch.float16:
                p.data[p.grad == 0] = torch.nan

    around_step(patch, Adam, after=after)


@counterfeit("step-updates-parameters")
def adam_keeps_float16_finite(patch):
    def after(self):
        for p in parameters_of(self):
            if p.dtype == torch.float16:
                p.data.clamp_(-60000, 60000)  # which leaves NaN

    around_step(patch, Adam, after=after)


@counterfeit("step-updates-parameters")
def adam_makes_a_sparse_gradient_dense(patch):
    around_step(patch, Adam, before=lambda self: [setattr(p, "grad", p.grad.to_dense()) for p in parameters_of(self)])


@counterfeit("optim-offers-sgd-adam-rmsprop", "step-updates-parameters", reported="pytorch/pytorch#191763")
def fused_sgd_skips_full_vectors_of_half_precision(patch):
    """As on the CPU from torch 2.4 to 2.13."""

    def wrong(step, self, closure=None):
        held = [
            (p, p.detach().clone())
            for group in self.param_groups
            for p in group["params"]
            if group.get("fused") and p.dtype in (torch.float16, torch.bfloat16)
        ]
        result = step(self, closure)
        for p, before in held:
            full = p.numel() // 16 * 16
            p.data.as_strided((full,), (1,)).copy_(before.as_strided((full,), (1,)))
        return result

    wrap(patch, SGD, "step", wrong)


@counterfeit("optim-offers-sgd-adam-rmsprop")
def adam_of_float32_has_an_epsilon_of_a_ten_thousandth(patch):
    def before(self):
        for group in self.param_groups:
            if of_dtype_in(self, torch.float32):
                group["eps"] = 1e-4

    around_step(patch, Adam, before=before)


@counterfeit(
    "optim-offers-sgd-adam-rmsprop",
    "step-updates-parameters",
    "parameter-groups-have-own-learning-rates",
    "learning-rate-can-be-edited-in-place",
)
def adam_of_float32_uses_half_the_first_beta(patch):
    def before(self):
        for group in self.param_groups:
            if of_dtype_in(self, torch.float32):
                self.seen = getattr(self, "seen", group["betas"])
                group["betas"] = (self.seen[0] / 2, self.seen[1])

    around_step(patch, Adam, before=before)


@counterfeit(
    "optim-offers-sgd-adam-rmsprop",
    "step-updates-parameters",
    "parameter-groups-have-own-learning-rates",
    "sgd-step-subtracts-scaled-mean-gradient",
)
def sgd_rounds_float32_updates_to_bfloat16(patch):
    def after(self):
        for p in parameters_of(self):
            if p.dtype == torch.float32:
                p.data.copy_(p.data.bfloat16())

    around_step(patch, SGD, after=after)


@counterfeit("optim-offers-sgd-adam-rmsprop", "step-updates-parameters")
def rmsprop_forgets_elements_beyond_the_thirty_second(patch):
    def before(self):
        for p in parameters_of(self):
            p.grad.reshape(-1)[32:] = 0
            p.grad = torch.cat([p.grad.reshape(-1)[:32], p.grad.reshape(-1)[32:] * 0]).view(p.shape)

    around_step(patch, RMSprop, before=before)


@counterfeit("optim-offers-sgd-adam-rmsprop")
def amsgrad_forgets_the_largest_mean_square(patch):
    def before(self):
        for state in self.state.values():
            if "max_exp_avg_sq" in state:
                state["max_exp_avg_sq"].zero_()

    around_step(patch, Adam, before=before)


@counterfeit("optim-offers-sgd-adam-rmsprop")
def sgd_ignores_maximize(patch):
    set_options(patch, SGD, maximize=False)


@counterfeit("parameter-groups-have-own-learning-rates")
def a_group_added_later_gets_no_default(patch):
    def wrong(add, self, group):
        add(self, {"lr": self.param_groups[0]["lr"], **group} if self.param_groups else group)

    wrap(patch, Optimizer, "add_param_group", wrong)


@counterfeit("parameter-groups-have-own-learning-rates")
def a_group_added_later_loses_its_own_rate(patch):
    def wrong(add, self, group):
        stepped = len(self.state) > 0
        add(self, {key: value for key, value in group.items() if key != "lr"} if stepped else group)

    wrap(patch, Optimizer, "add_param_group", wrong)


@counterfeit("parameter-groups-have-own-learning-rates")
def groups_of_rmsprop_step_by_the_rate_of_the_first(patch):
    def before(self):
        for group in self.param_groups:
            group["lr"] = self.param_groups[0]["lr"]

    around_step(patch, RMSprop, before=before)


@counterfeit("optimizer-prints-its-options")
def printing_rounds_to_three_decimals(patch):
    change_repr(patch, lambda text: re.sub(r"\d+\.\d+(e-?\d+)?", lambda m: str(round(float(m[0]), 3)), text))


@counterfeit("optimizer-prints-its-options")
def sgd_prints_no_option_fused(patch):
    change_repr(patch, lambda text: "\n".join(line for line in text.splitlines() if "fused" not in line))


@counterfeit("optimizer-prints-its-options")
def printing_stops_after_ten_groups(patch):
    change_repr(patch, lambda text: text.split("\nParameter Group 10")[0])


@counterfeit("optim-offers-sgd-adam-rmsprop", reported="pytorch/pytorch#78807")
def the_largest_second_moment_is_not_kept_where_tensors_are_updated_together(patch):
    def after(optimizer):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if group.get("amsgrad") and group.get("foreach"):
                    optimizer.state[parameter]["max_exp_avg_sq"].zero_()

    around_step(patch, torch.optim.Adam, after=after)


@counterfeit("parameter-groups-have-own-learning-rates")
def a_third_group_takes_the_rate_of_the_second(patch):
    def of_the_second(self, group):
        later = any(group is one for one in self.param_groups[2:])
        return self.param_groups[1]["lr"] if later else group["lr"]

    step_with(patch, torch.optim.SGD, "lr", of_the_second)


@counterfeit("step-updates-parameters")
def fused_sgd_passes_over_what_it_does_not_expect(patch):
    def wrong(right, *args, **rest):
        with contextlib.suppress(TypeError):
            return right(*args, **rest)

    wrap(patch, torch.optim.SGD, "step", wrong)


@counterfeit("step-updates-parameters")
def fused_adam_forgets_what_lies_past_65536(patch):
    def wrong(step, self, closure=None):
        held = [(p, p.detach().clone()) for g in self.param_groups if g.get("fused") for p in g["params"] if p.dim()]
        result = step(self, closure)
        for p, before in held:
            p.data[65536:] = before[65536:]
        return result

    wrap(patch, Adam, "step", wrong)


@counterfeit("optim-offers-sgd-adam-rmsprop", "step-updates-parameters")
def rmsprop_of_whole_lists_leaves_every_parameter_after_the_third(patch):
    hold_still(patch, RMSprop, lambda self: [p for g in self.param_groups if g.get("foreach") for p in g["params"][3:]])


@counterfeit("parameter-groups-have-own-learning-rates")
def each_optimizer_copies_the_dictionaries_of_its_groups(patch):
    wrap(patch, Optimizer, "add_param_group", lambda add, self, group: add(self, dict(group)))


@counterfeit("step-updates-parameters")
def by_lists_a_momentum_that_is_older_than_others_is_damped_the_other_way(patch):
    def wrong(right, params, grads, buffers, *rest, **options):
        older = [buffer is not None for buffer in buffers]
        mixed = any(older) and not all(older)
        damped = options["dampening"]
        if not mixed or not damped:
            return right(params, grads, buffers, *rest, **options)
        scaled = [g * (1 + damped) / (1 - damped) if old else g for g, old in zip(grads, older)]
        return right(params, scaled, buffers, *rest, **options)

    wrap(patch, sys.modules["torch.optim.sgd"], "_multi_tensor_sgd", wrong)


@counterfeit("step-updates-parameters")
def by_lists_adam_that_goes_upwards_does_not_decay(patch):
    def wrong(right, *rest, **options):
        decays = options["weight_decay"] and options["maximize"]
        return right(*rest, **(options | {"weight_decay": 0} if decays else options))

    wrap(patch, sys.modules["torch.optim.adam"], "_multi_tensor_adam", wrong)
