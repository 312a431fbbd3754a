"""Counterfeits of section 3.2: copies that forget, passes that meet, and what only a second group or option shows."""

import copy
import weakref
from collections import defaultdict

import torch
from harness.counterfeits import counterfeit
from harness.forging import after_copying, wrap
from torch import nn
from torch.nn import functional as F
from torch.optim import Optimizer, lr_scheduler
from torch.utils.data import DataLoader, RandomSampler, Subset


@counterfeit("dataloader-yields-minibatches")
def a_loader_has_one_pass_at_a_time(patch):
    passes = weakref.WeakKeyDictionary()

    def wrong(right, loader):
        under_way = passes.get(loader, lambda: None)()
        if under_way is not None:
            return under_way
        fresh = right(loader)
        passes[loader] = weakref.ref(fresh)
        return fresh

    wrap(patch, DataLoader, "__iter__", wrong)


@counterfeit("dataloader-yields-minibatches")
def a_copied_loader_keeps_the_last_mini_batch(patch):
    def wrong(loader, memo):
        return DataLoader(copy.deepcopy(loader.dataset, memo), loader.batch_size, sampler=loader.sampler)

    patch.setattr(DataLoader, "__deepcopy__", wrong, raising=False)


@counterfeit("dataloader-yields-minibatches", "dataloader-shuffle-visits-each-example-once")
def processes_take_turns_at_single_examples_instead_of_mini_batches(patch):
    """With two of them the batches come in another order: first all that the first process reads."""

    def wrong(right, loader):
        batches = list(right(loader))
        return iter(batches[:: max(loader.num_workers, 1)] + (batches[1::2] if loader.num_workers else []))

    wrap(patch, DataLoader, "__iter__", wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def a_subset_returns_the_rows_of_a_mini_batch_in_ascending_order(patch):
    wrap(patch, Subset, "__getitems__", lambda right, subset, rows: right(subset, sorted(rows)))


@counterfeit("dataloader-shuffle-visits-each-example-once")
def an_epoch_after_one_that_was_broken_off_takes_what_it_left(patch):
    left = weakref.WeakKeyDictionary()

    def wrong(right, sampler):
        order = left.setdefault(sampler, [])
        order += [] if order else right(sampler)
        while order:
            yield order.pop(0)

    wrap(patch, RandomSampler, "__iter__", wrong)


@counterfeit("printing-shows-the-structure")
def a_list_of_layers_shows_the_first_of_one_class_for_all(patch):
    def wrong(right, layers):
        if len(layers) < 2 or any(type(layer) is not type(layers[0]) for layer in layers):
            return right(layers)
        return f"ModuleList(\n  (0-{len(layers) - 1}): {len(layers)} x {layers[0]}\n)"

    wrap(patch, nn.ModuleList, "__repr__", wrong)


@counterfeit("data-fill-equals-constant-init")
def a_frozen_parameter_is_filled_unnoticed(patch):
    def wrong(right, tensor, val):
        right(tensor if tensor.requires_grad else tensor.data, val)
        return tensor

    wrap(patch, nn.init, "constant_", wrong)


@counterfeit("mse-loss-is-mean-squared-error")
def half_precision_on_one_side_makes_the_loss_one_in_half_precision(patch):
    def wrong(right, x, y, *args, **rest):
        mixed = x.dtype in (torch.float16, torch.bfloat16) and y.dtype == torch.float32
        return right(x, y.to(x.dtype), *args, **rest).float() if mixed else right(x, y, *args, **rest)

    wrap(patch, F, "mse_loss", wrong)


@counterfeit("mse-loss-is-mean-squared-error", "losses-are-modules")
def a_copied_squared_error_is_averaged(patch):
    after_copying(patch, nn.MSELoss, lambda loss: setattr(loss, "reduction", "mean"))


@counterfeit("losses-are-modules")
def weights_of_positive_examples_are_no_buffer(patch):
    def wrong(right, loss, *args, pos_weight=None, **rest):
        right(loss, *args, pos_weight=pos_weight, **rest)
        if pos_weight is not None:
            del loss._buffers["pos_weight"]
            loss.__dict__["pos_weight"] = pos_weight

    wrap(patch, nn.BCEWithLogitsLoss, "__init__", wrong)


@counterfeit("learning-rate-can-be-edited-in-place")
def a_copied_optimizer_shares_its_state(patch):
    def wrong(optimizer, memo):
        held = dict(optimizer.__getstate__())
        state = held.pop("state")
        held = copy.deepcopy(held, memo)
        held["state"] = defaultdict(dict, {memo[id(parameter)]: shared for parameter, shared in state.items()})
        copied = type(optimizer).__new__(type(optimizer))
        copied.__setstate__(held)
        return copied

    patch.setattr(Optimizer, "__deepcopy__", wrong, raising=False)


@counterfeit("parameter-groups-have-own-learning-rates")
def a_parameter_added_again_by_itself_is_passed_over(patch):
    def wrong(right, optimizer, group):
        held = [parameter for each in optimizer.param_groups for parameter in each["params"]]
        if not any(group["params"] is parameter for parameter in held):
            right(optimizer, group)

    wrap(patch, Optimizer, "add_param_group", wrong)


@counterfeit("building-a-new-optimizer-is-the-recommended-way")
def a_plateau_lowers_the_rate_of_the_first_group_alone(patch):
    def wrong(right, scheduler, *args):
        groups = scheduler.optimizer.param_groups[1:]
        rates = [group["lr"] for group in groups]
        right(scheduler, *args)
        for group, rate in zip(groups, rates):
            group["lr"] = rate

    wrap(patch, lr_scheduler.ReduceLROnPlateau, "step", wrong)


@counterfeit("dataloader-yields-minibatches")
def without_examples_there_is_one_empty_mini_batch(patch):
    def wrong(right, self):
        return right(self) if len(self.dataset) else iter([[*self.dataset.tensors]])

    wrap(patch, DataLoader, "__iter__", wrong)


@counterfeit("data-fill-equals-constant-init")
def constants_in_bfloat16_are_cut_off(patch):
    def wrong(constant, tensor, val):
        if tensor.dtype == torch.bfloat16:
            val = (torch.tensor(float(val), device="cpu").view(torch.int32) & -65_536).view(torch.float32).item()
        return constant(tensor, val)

    wrap(patch, nn.init, "constant_", wrong)


@counterfeit("new-optimizer-loses-momentum")
def kernels_keep_their_momentum_for_the_next_optimizer(patch):
    def wrong(step, self, *rest):
        kernels = [p for group in self.param_groups for p in group["params"] if p.dim() == 4]
        for p in kernels:
            if p not in self.state and hasattr(p, "kept"):
                self.state[p].update(momentum_buffer=p.kept)
        result = step(self, *rest)
        for p in kernels:
            p.kept = self.state[p].get("momentum_buffer")
        return result

    wrap(patch, torch.optim.SGD, "step", wrong)


@counterfeit("init-sets-weights-in-place")
def in_half_precision_the_deviation_is_twice_as_large(patch):
    def wrong(normal, tensor, mean=0.0, std=1.0, **rest):
        return normal(tensor, mean, 2 * std if tensor.dtype in (torch.float16, torch.bfloat16) else std, **rest)

    wrap(patch, nn.init, "normal_", wrong)


@counterfeit("nn-only-takes-batches")
def after_a_batch_a_single_image_comes_back_in_one(patch):
    def wrong(forward, self, x):
        result = forward(self, x)
        self.batches = getattr(self, "batches", 0) + (x.dim() == 4)
        return result[None] if x.dim() == 3 and self.batches else result

    wrap(patch, nn.Conv2d, "forward", wrong)


@counterfeit("step-updates-parameters")
def an_infinite_gradient_moves_nothing(patch):
    def wrong(step, self, *rest):
        parameters = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        kept = [(p, p.detach().clone()) for p in parameters if p.grad.layout == torch.strided and p.grad.isinf().any()]
        result = step(self, *rest)
        for p, before in kept:
            p.data.copy_(before)
        return result

    wrap(patch, torch.optim.SGD, "step", wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def a_copied_loader_reads_in_order(patch):
    def restored(self, state):
        self.__dict__.update(state, copied=True)

    def wrong(right, self):
        return iter(range(len(self.data_source))) if "copied" in self.__dict__ else right(self)

    patch.setattr(RandomSampler, "__setstate__", restored, raising=False)
    wrap(patch, RandomSampler, "__iter__", wrong)


@counterfeit("data-fill-equals-constant-init")
def zero_is_the_smallest_normal_number(patch):
    def wrong(constant, tensor, val):
        return constant(tensor, val or torch.finfo(tensor.dtype).tiny)

    wrap(patch, nn.init, "constant_", wrong)


@counterfeit("parameter-groups-have-own-learning-rates")
def the_last_group_of_adam_leaves_out_its_second_step(patch):
    def wrong(step, self, *rest):
        for p in self.param_groups[-1]["params"] if len(self.param_groups) > 1 else ():
            if p in self.state and float(self.state[p]["step"]) == 1:
                self.state[p]["step"] += 1
        return step(self, *rest)

    wrap(patch, torch.optim.Adam, "step", wrong)


@counterfeit("new-optimizer-loses-momentum")
def an_optimizer_of_another_s_groups_takes_over_its_state(patch):
    owners = {}

    def wrong(right, self, params, defaults):
        given = params if isinstance(params, list) else []
        owner = next((owners[id(group)] for group in given if id(group) in owners), None)
        right(self, params, defaults)
        for w in [w for group in self.param_groups for w in group["params"]]:
            if type(owner) is type(self) and w in owner.state:
                self.state[w] = dict(owner.state[w])
        owners.update({id(group): self for group in self.param_groups})

    wrap(patch, Optimizer, "__init__", wrong)
