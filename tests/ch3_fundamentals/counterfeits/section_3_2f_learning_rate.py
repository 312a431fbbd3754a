"""Counterfeits of section 3.2, changing the learning rate: rates that stick, state that is lost or outlives."""

from collections import defaultdict

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import around_step, hold_still, wrap
from torch.optim import SGD, Adam, Optimizer, RMSprop, lr_scheduler
from torch.optim.lr_scheduler import StepLR


def inherit_state(patch, optimizer_class):
    """Let a new optimizer take over the state that an old one had for the same parameter."""
    states = {}
    add = optimizer_class.add_param_group
    step = optimizer_class.step

    def remember(self, *args, **kwargs):
        result = step(self, *args, **kwargs)
        states.update(self.state)
        return result

    def inherit(self, group):
        add(self, group)
        for parameter in self.param_groups[-1]["params"]:
            if parameter in states:
                self.state[parameter] = states[parameter]

    patch.setattr(optimizer_class, "step", remember)
    patch.setattr(optimizer_class, "add_param_group", inherit)


# ── learning-rate-can-be-edited-in-place ──


@counterfeit("learning-rate-can-be-edited-in-place")
def sgd_steps_by_the_rate_it_was_built_with(patch):
    def restore(self):
        for group in self.param_groups:
            group["lr"] = self.defaults["lr"]

    around_step(patch, SGD, before=restore)


@counterfeit("learning-rate-can-be-edited-in-place")
def an_edited_rate_lasts_for_one_step(patch):
    def wrong(step, self, *args, **kwargs):
        result = step(self, *args, **kwargs)
        for group in self.param_groups:
            group["lr"] = self.defaults["lr"]
        return result

    wrap(patch, SGD, "step", wrong)


@counterfeit("learning-rate-can-be-edited-in-place")
def an_edit_of_one_group_changes_all(patch):
    def spread(self):
        for group in self.param_groups:
            group["lr"] = self.param_groups[-1]["lr"]

    around_step(patch, SGD, before=spread)


@counterfeit("learning-rate-can-be-edited-in-place")
def an_edited_rate_clears_the_momentum(patch):
    def clear(self):
        if self.param_groups[0]["lr"] != self.defaults["lr"]:
            self.state.clear()

    around_step(patch, SGD, before=clear)


@counterfeit("learning-rate-can-be-edited-in-place")
def momentum_holds_steps_instead_of_gradients(patch):
    """An edited rate then applies to the newest gradient only."""

    def rescale(self):
        rate = self.param_groups[0]["lr"]
        for state in self.state.values():
            if state.get("momentum_buffer") is not None:
                state["momentum_buffer"] = state["momentum_buffer"] * getattr(self, "last_rate", rate) / rate
        self.last_rate = rate

    around_step(patch, SGD, before=rescale)


@counterfeit("learning-rate-can-be-edited-in-place")
def adam_steps_by_the_rate_it_was_built_with(patch):
    def restore(self):
        for group in self.param_groups:
            group["lr"] = self.defaults["lr"]

    around_step(patch, Adam, before=restore)


# ── building-a-new-optimizer-is-the-recommended-way ──


@counterfeit("building-a-new-optimizer-is-the-recommended-way")
def a_new_sgd_inherits_the_momentum(patch):
    inherit_state(patch, SGD)


@counterfeit("building-a-new-optimizer-is-the-recommended-way")
def step_lr_clears_the_momentum(patch):
    def wrong(step, self, *args):
        before = self.optimizer.param_groups[0]["lr"]
        step(self, *args)
        if self.optimizer.param_groups[0]["lr"] != before:
            self.optimizer.state.clear()

    wrap(patch, StepLR, "step", wrong)


@counterfeit("building-a-new-optimizer-is-the-recommended-way")
def step_lr_lowers_the_rate_one_step_late(patch):
    def wrong(step, self, *args):
        self.calls = getattr(self, "calls", -1) + 1
        if self.calls != 1:
            step(self, *args)

    wrap(patch, StepLR, "step", wrong)


@counterfeit("building-a-new-optimizer-is-the-recommended-way")
def step_lr_lowers_the_rate_only_once(patch):
    def wrong(step, self, *args):
        if getattr(self, "last_epoch", 0) < self.step_size:
            step(self, *args)

    wrap(patch, StepLR, "step", wrong)


@counterfeit("building-a-new-optimizer-is-the-recommended-way")
def step_lr_subtracts_instead_of_multiplying(patch):
    def get_lr(self):
        lowered = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return [group["lr"] - (1 - self.gamma) * 0.5 * lowered for group in self.optimizer.param_groups]

    patch.setattr(StepLR, "get_lr", get_lr)


@counterfeit("building-a-new-optimizer-is-the-recommended-way")
def step_lr_ignores_all_groups_but_the_first(patch):
    def wrong(get_lr, self):
        return [get_lr(self)[0], *(group["lr"] for group in self.optimizer.param_groups[1:])]

    wrap(patch, StepLR, "get_lr", wrong)


@counterfeit("building-a-new-optimizer-is-the-recommended-way")
def adam_starts_anew_when_its_rate_changes(patch):
    def clear(self):
        if self.param_groups[0]["lr"] != getattr(self, "last_rate", None):
            self.state.clear()
        self.last_rate = self.param_groups[0]["lr"]

    around_step(patch, Adam, before=clear)


# ── new-optimizer-is-cheap ──


def allocate_when_built(patch, optimizer_class, allocate):
    init = optimizer_class.__init__

    def wrong(self, *args, **kwargs):
        init(self, *args, **kwargs)
        for group in self.param_groups:
            for parameter in group["params"]:
                allocate(self, parameter)

    patch.setattr(optimizer_class, "__init__", wrong)


@counterfeit("new-optimizer-is-cheap")
def sgd_copies_the_parameters_when_built(patch):
    allocate_when_built(patch, SGD, lambda self, p: setattr(self, "copy", p.detach().clone()))


@counterfeit("new-optimizer-is-cheap")
def rmsprop_allocates_its_mean_squares_when_built(patch):
    allocate_when_built(patch, RMSprop, lambda self, p: setattr(self, "squares", torch.zeros_like(p)))


@counterfeit("new-optimizer-is-cheap")
def adam_allocates_its_means_when_built(patch):
    allocate_when_built(patch, Adam, lambda self, p: self.state[p].update(exp_avg=torch.zeros_like(p)))


@counterfeit("new-optimizer-is-cheap")
def adam_keeps_a_copy_of_every_gradient(patch):
    def keep(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["last_gradient"] = parameter.grad.clone()

    step = Adam.step

    def wrong(self, *args, **kwargs):
        result = step(self, *args, **kwargs)
        keep(self)
        return result

    patch.setattr(Adam, "step", wrong)


@counterfeit("new-optimizer-is-cheap")
def plain_sgd_keeps_momentum_buffers(patch):
    def wrong(step, self, *args, **kwargs):
        result = step(self, *args, **kwargs)
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return result

    wrap(patch, SGD, "step", wrong)


# ── new-optimizer-loses-momentum ──


@counterfeit("new-optimizer-loses-momentum")
def a_new_adam_inherits_the_state(patch):
    inherit_state(patch, Adam)


@counterfeit("new-optimizer-loses-momentum")
def a_new_rmsprop_inherits_the_state(patch):
    inherit_state(patch, RMSprop)


@counterfeit("new-optimizer-loses-momentum")
def all_optimizers_share_one_state(patch):
    shared = defaultdict(dict)
    patch.setattr(Optimizer, "state", property(lambda self: shared, lambda self, value: None), raising=False)


@counterfeit("new-optimizer-loses-momentum")
def sgd_loses_its_momentum_at_every_step(patch):
    around_step(patch, SGD, before=lambda self: self.state.clear())


@counterfeit("new-optimizer-loses-momentum")
def plain_sgd_takes_a_first_step_of_half_the_rate(patch):
    def warm(self):
        if self.param_groups[0]["momentum"] == 0 and not hasattr(self, "warm"):
            self.warm = True
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.grad = parameter.grad / 2

    around_step(patch, SGD, before=warm)


@counterfeit("new-optimizer-loses-momentum")
def adam_warms_up(patch):
    """Its first steps are shorter, so that a new one does not disturb a converged parameter."""

    def warm(self):
        self.steps = getattr(self, "steps", 0) + 1
        for group in self.param_groups:
            group["lr"] = self.defaults["lr"] * min(1, self.steps / 100)

    around_step(patch, Adam, before=warm)


@counterfeit("new-optimizer-loses-momentum")
def adam_forgets_its_state_after_two_hundred_steps(patch):
    def forget(self):
        self.steps = getattr(self, "steps", 0) + 1
        if self.steps == 201:
            self.state.clear()

    around_step(patch, Adam, before=forget)


# ── faults of edits upwards, and of what a new optimizer keeps ──


@counterfeit("learning-rate-can-be-edited-in-place", "building-a-new-optimizer-is-the-recommended-way")
def a_rate_can_only_be_lowered(patch):
    def cap(self):
        for group in self.param_groups:
            group["lr"] = group["least"] = min(group.get("least", group["lr"]), group["lr"])

    for optimizer_class in (SGD, Adam, RMSprop):
        around_step(patch, optimizer_class, before=cap)


@counterfeit("learning-rate-can-be-edited-in-place")
def an_edited_rate_counts_one_step_late(patch):
    def late(self):
        for group in self.param_groups:
            group["asked"], group["lr"] = group["lr"], group.get("asked", group["lr"])

    def back(self):
        for group in self.param_groups:
            group["lr"] = group["asked"]

    around_step(patch, RMSprop, before=late, after=back)


@counterfeit("new-optimizer-loses-momentum")
def a_new_rmsprop_inherits_half_of_the_mean_square(patch):
    states = {}

    def remember(self):
        for parameter, state in self.state.items():
            states[parameter] = {"square": state["square_avg"].clone()}

    def inherit(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p in states and len(self.state[p]) == 0:
                    p.grad = p.grad / 2**0.5

    around_step(patch, RMSprop, before=inherit, after=remember)


@counterfeit("new-optimizer-loses-momentum")
def a_reloaded_adam_counts_its_steps_anew(patch):
    def wrong(load, self, state):
        load(self, state)
        for each in self.state.values():
            each["step"] = torch.tensor(0.0)

    wrap(patch, Adam, "load_state_dict", wrong)


@counterfeit("new-optimizer-is-cheap")
def building_keeps_a_numpy_copy_of_every_parameter(patch):
    allocate_when_built(patch, Adam, lambda self, p: setattr(self, "kept", np.zeros(p.numel(), np.float32)))


@counterfeit("new-optimizer-is-cheap")
def adagrad_waits_for_its_first_step(patch):
    def wrong(init, self, *args, **options):
        init(self, *args, **options)
        self.state.clear()

    wrap(patch, torch.optim.Adagrad, "__init__", wrong)


@counterfeit("new-optimizer-is-cheap")
def adagrad_does_not_step_what_is_added_later(patch):
    hold_still(patch, torch.optim.Adagrad, lambda self: [p for group in self.param_groups[1:] for p in group["params"]])


@counterfeit("new-optimizer-is-cheap")
def adam_keeps_its_two_means_in_one(patch):
    def after(self):
        for state in self.state.values():
            state["exp_avg_sq"] = state["exp_avg_sq"].sum()

    around_step(patch, Adam, after=after)


@counterfeit("building-a-new-optimizer-is-the-recommended-way")
def the_last_milestone_is_passed_by(patch):
    def wrong(right, self, optimizer, milestones, *args, **rest):
        return right(self, optimizer, milestones[:2], *args, **rest)

    wrap(patch, lr_scheduler.MultiStepLR, "__init__", wrong)


@counterfeit("building-a-new-optimizer-is-the-recommended-way")
def one_schedule_after_another_tells_the_rates_of_the_step_before(patch):
    def wrong(right, self, *args):
        before = self._last_lr
        right(self, *args)
        self._last_lr = before

    wrap(patch, lr_scheduler.SequentialLR, "step", wrong)


@counterfeit("building-a-new-optimizer-is-the-recommended-way")
def a_plateau_is_waited_for_one_step_too_long(patch):
    def wrong(right, self, *args, **rest):
        right(self, *args, **rest)
        self.patience += self.patience > 0

    wrap(patch, lr_scheduler.ReduceLROnPlateau, "__init__", wrong)


@counterfeit("building-a-new-optimizer-is-the-recommended-way")
def a_polynomial_of_any_degree_falls_in_a_line(patch):
    def wrong(right, self, *args, **rest):
        right(self, *args, **rest)
        self.power = 1.0

    wrap(patch, lr_scheduler.PolynomialLR, "__init__", wrong)


@counterfeit("building-a-new-optimizer-is-the-recommended-way")
def behind_the_peak_of_one_cycle_the_state_is_lost(patch):
    def wrong(right, self, *args):
        before = float(self.optimizer.param_groups[0]["lr"])
        right(self, *args)
        if float(self.optimizer.param_groups[0]["lr"]) < before:
            self.optimizer.state.clear()

    wrap(patch, lr_scheduler.OneCycleLR, "step", wrong)
