"""Reported faults, and others like them, of schedules, optimizers, samplers and mini-batches, for section 3.2."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import around_step, wrap
from torch.optim import lr_scheduler
from torch.utils import data


@counterfeit("building-a-new-optimizer-is-the-recommended-way", reported="pytorch/pytorch#29697")
def a_schedule_that_is_loaded_begins_again(patch):
    def wrong(right, self, state):
        right(self, {**state, "last_epoch": 0})

    wrap(patch, lr_scheduler.MultiStepLR, "load_state_dict", wrong)


@counterfeit("building-a-new-optimizer-is-the-recommended-way", reported="huggingface/pytorch-image-models#2756")
def a_plateau_that_is_loaded_forgets_how_long_it_waited(patch):
    def wrong(right, self, state):
        right(self, {**state, "num_bad_epochs": 0, "cooldown_counter": 0})

    wrap(patch, lr_scheduler.ReduceLROnPlateau, "load_state_dict", wrong)


@counterfeit("building-a-new-optimizer-is-the-recommended-way", reported="pytorch/pytorch#52911")
def cycles_never_grow_smaller(patch):
    def wrong(right, self, *args, mode="triangular", gamma=1.0, **rest):
        right(self, *args, mode="triangular", **rest)

    wrap(patch, lr_scheduler.CyclicLR, "__init__", wrong)


@counterfeit("step-updates-parameters", reported="pytorch/pytorch#106615")
def nadam_that_can_be_differentiated_lets_its_gradient_stand_for_its_mean(patch):
    def wrong(optimizer):
        for group in optimizer.param_groups:
            for parameter in group["params"] if group["differentiable"] else ():
                optimizer.state[parameter]["exp_avg"] = parameter.grad.clone()

    around_step(patch, torch.optim.NAdam, after=wrong)


@counterfeit("learning-rate-can-be-edited-in-place", reported="pytorch/pytorch#186444")
def adam_makes_nan_of_all_where_its_rate_is_zero(patch):
    def wrong(optimizer):
        for group in optimizer.param_groups:
            for parameter in group["params"] if group["lr"] == 0 else ():
                parameter.data.fill_(torch.nan)

    around_step(patch, torch.optim.Adam, after=wrong)


@counterfeit("dataloader-yields-minibatches", reported="pytorch/pytorch#67740")
def each_part_of_a_split_says_that_it_is_as_long_as_the_whole(patch):
    class Part(data.Subset):
        def __len__(self):
            return len(self.dataset)

        def __iter__(self):
            return iter([self.dataset[number] for number in self.indices])

    def wrong(right, dataset, *args, **rest):
        return [Part(part.dataset, part.indices) for part in right(dataset, *args, **rest)]

    wrap(patch, torch.utils.data, "random_split", wrong)


@counterfeit("dataloader-yields-minibatches")
def a_sampler_of_one_s_own_is_read_in_ascending_order(patch):
    def wrong(right, self, *args, sampler=None, **rest):
        right(self, *args, sampler=sorted(sampler) if sampler is not None else None, **rest)

    wrap(patch, data.DataLoader, "__init__", wrong)


@counterfeit("dataloader-yields-minibatches")
def fractions_that_are_plain_numbers_become_single(patch):
    def wrong(right, batch, **rest):
        result = right(batch, **rest)
        return result.float() if isinstance(batch[0], float) else result

    wrap(patch, torch.utils.data._utils.collate, "collate", wrong)


@counterfeit("minibatch-is-uniform-random-sample")
def a_sampler_with_weights_never_takes_the_last_example(patch):
    def wrong(right, self, weights, *args, **rest):
        right(self, [*weights[:-1], 0.0] if len(weights) > 1 else weights, *args, **rest)

    wrap(patch, data.WeightedRandomSampler, "__init__", wrong)


@counterfeit("minibatch-is-uniform-random-sample")
def with_replacement_no_example_comes_twice_in_a_row(patch):
    def wrong(right, self):
        order = [*right(self)]
        if not self.replacement:
            return iter(order)
        many = max(len(self.data_source), 1)
        return iter(
            [(number + 1) % many if at and order[at - 1] == number else number for at, number in enumerate(order)]
        )

    wrap(patch, data.RandomSampler, "__iter__", wrong)


@counterfeit("minibatch-is-uniform-random-sample")
def a_subset_is_sampled_in_its_own_order(patch):
    wrap(patch, data.SubsetRandomSampler, "__iter__", lambda right, self: iter([*self.indices]))
