"""Counterfeits of section 3.2, the data: data sets and loaders that lose, repeat or mix up examples."""

import random

import numpy as np
import torch
from harness.counterfeits import counterfeit
from harness.forging import change_method, change_result, wrap
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    IterableDataset,
    RandomSampler,
    Subset,
    TensorDataset,
)
from torch.utils.data._utils.fetch import _IterableDatasetFetcher, _MapDatasetFetcher


def reorder(patch, change):
    """Let shuffling yield ``change(order)`` instead of ``order``, a list of indices."""
    indices = RandomSampler.__iter__
    patch.setattr(RandomSampler, "__iter__", lambda self: iter(change(list(indices(self)))))


def change_batches(patch, change):
    """Let a loader yield ``change(batch)`` for each of its mini-batches."""
    iterate = DataLoader.__iter__
    patch.setattr(DataLoader, "__iter__", lambda self: (change(batch) for batch in iterate(self)))


# ── synthetic-regression-data ──


@counterfeit("synthetic-regression-data")
def tensors_of_numpy_arrays_keep_float64(patch):
    wrap(patch, torch, "tensor", lambda tensor, data, *args, **kwargs: tensor(data))


@counterfeit("synthetic-regression-data")
def tensors_of_numpy_arrays_pass_through_half_precision(patch):
    wrap(patch, torch, "tensor", lambda tensor, data, *args, **kwargs: tensor(data, *args, **kwargs).half().float())


@counterfeit("synthetic-regression-data")
def tensors_of_numpy_arrays_are_clipped_at_one_and_a_half(patch):
    wrap(patch, torch, "tensor", lambda tensor, data, *args, **kwargs: tensor(data, *args, **kwargs).clamp(-1.5, 1.5))


@counterfeit("synthetic-regression-data")
def labels_have_noise_ten_per_cent_too_wide(patch):
    def wrong(tensor, data, *args, **kwargs):
        return tensor(data, *args, **kwargs) * (1.1 if data.ndim == 1 else 1)

    wrap(patch, torch, "tensor", wrong)


@counterfeit("synthetic-regression-data")
def indexing_a_column_returns_the_first(patch):
    def wrong(getitem, self, index):
        return getitem(self, (index[0], 0) if isinstance(index, tuple) and len(index) == 2 else index)

    change_method(patch, "__getitem__", wrong)


# ── dataloader-yields-minibatches ──


@counterfeit("dataloader-yields-minibatches", "epoch-loss-weights-batches-by-size")
def loader_drops_the_last_smaller_batch(patch):
    wrap(patch, BatchSampler, "__init__", lambda init, self, sampler, size, drop_last: init(self, sampler, size, True))


@counterfeit("dataloader-yields-minibatches", "epoch-loss-weights-batches-by-size")
def loader_fills_up_the_last_batch(patch):
    def wrong(batches, self):
        for batch in batches(self):
            yield (batch * self.batch_size)[: self.batch_size]

    wrap(patch, BatchSampler, "__iter__", wrong)


@counterfeit("dataloader-yields-minibatches")
def loader_counts_full_batches_only(patch):
    patch.setattr(DataLoader, "__len__", lambda self: len(self.dataset) // self.batch_size)


@counterfeit("dataloader-yields-minibatches")
def loader_reverses_each_mini_batch(patch):
    change_batches(patch, lambda batch: [part.flip(0) for part in batch])


@counterfeit("dataloader-yields-minibatches")
def loader_pairs_each_row_with_the_next_label(patch):
    change_batches(patch, lambda batch: [batch[0], *(part.roll(-1, 0) for part in batch[1:])])


@counterfeit("dataloader-yields-minibatches")
def loader_makes_all_numbers_float32(patch):
    change_batches(patch, lambda batch: [part.float() for part in batch])


@counterfeit("dataloader-yields-minibatches")
def loader_makes_labels_a_column(patch):
    change_batches(patch, lambda batch: [part.reshape(len(part), -1) for part in batch])


@counterfeit("dataloader-yields-minibatches")
def loader_goes_on_from_the_end_in_its_second_pass(patch):
    def wrong(iterate, self):
        self.__dict__["passes"] = self.__dict__.get("passes", 0) + 1
        return iterate(self) if self.__dict__["passes"] == 1 else iter(list(iterate(self))[::-1])

    wrap(patch, DataLoader, "__iter__", wrong)


@counterfeit("dataloader-yields-minibatches", reported="pytorch/pytorch#171795")
def tensor_dataset_accepts_tensors_of_different_length(patch):
    def init(self, *tensors):
        self.tensors = tensors

    patch.setattr(TensorDataset, "__init__", init)


@counterfeit("dataloader-yields-minibatches")
def loader_hands_out_a_mini_batch_that_it_overwrites_later(patch):
    """As a loader would that saves memory by filling the same tensor again."""

    def wrong(iterate, self):
        last = None
        for batch in iterate(self):
            if last is not None and last[0].shape == batch[0].shape:
                batch = [old.copy_(new) for old, new in zip(last, batch)]
            last = batch
            yield batch

    wrap(patch, DataLoader, "__iter__", wrong)


@counterfeit("dataloader-yields-minibatches")
def loader_yields_nothing_of_a_data_set_smaller_than_a_batch(patch):
    iterate = DataLoader.__iter__
    patch.setattr(
        DataLoader, "__iter__", lambda self: iter(()) if len(self.dataset) < self.batch_size else iterate(self)
    )


# ── dataloader-shuffle-visits-each-example-once ──


@counterfeit("dataloader-shuffle-visits-each-example-once")
def shuffling_repeats_the_first_example_for_the_last(patch):
    reorder(patch, lambda order: [*order[:-1], order[0]])


@counterfeit("dataloader-shuffle-visits-each-example-once")
def shuffling_makes_an_epoch_of_no_examples(patch):
    def wrong(init, self, examples, *args, shuffle=False, **rest):
        init(self, examples, *args, shuffle=shuffle and len(examples) > 0, **rest)

    wrap(patch, DataLoader, "__init__", wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def shuffling_leaves_an_iterable_data_set_in_its_order(patch):
    def wrong(init, self, examples, *args, shuffle=False, **rest):
        init(self, examples, *args, shuffle=shuffle and not isinstance(examples, IterableDataset), **rest)

    wrap(patch, DataLoader, "__init__", wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def shuffling_gives_every_epoch_the_same_order(patch):
    def wrong(indices, self):
        self.order = getattr(self, "order", None) or list(indices(self))
        return iter(self.order)

    wrap(patch, RandomSampler, "__iter__", wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def shuffling_returns_to_the_first_order_in_the_third_epoch(patch):
    def wrong(indices, self):
        self.orders = [*getattr(self, "orders", []), list(indices(self))]
        return iter(self.orders[(len(self.orders) - 1) % 2])

    wrap(patch, RandomSampler, "__iter__", wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def shuffling_starts_anywhere_and_goes_on_in_order(patch):
    reorder(patch, lambda order: [(order[0] + i) % len(order) for i in range(len(order))])


@counterfeit("dataloader-shuffle-visits-each-example-once")
def shuffling_shuffles_ready_made_batches(patch):
    reorder(patch, lambda order: [i for j in order if j % 10 == 0 for i in range(j, min(j + 10, len(order)))])


@counterfeit("dataloader-shuffle-visits-each-example-once")
def shuffling_mixes_only_within_a_window_of_twenty(patch):
    """As a shuffle buffer does: the first batch still holds the first examples."""
    reorder(patch, lambda order: sorted(order, key=lambda i: i // 20))


@counterfeit("dataloader-shuffle-visits-each-example-once")
def shuffling_ignores_the_generator(patch):
    def wrong(init, self, data_source, *args, generator=None, **kwargs):
        init(self, data_source, *args, **kwargs)

    wrap(patch, RandomSampler, "__init__", wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def shuffling_starts_anew_from_the_seed_in_every_epoch(patch):
    def wrong(indices, self):
        if self.generator is not None:
            self.generator.manual_seed(self.generator.initial_seed())
        return indices(self)

    wrap(patch, RandomSampler, "__iter__", wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def loader_shuffles_by_default(patch):
    def wrong(init, self, dataset, batch_size=1, shuffle=True, **kwargs):
        init(self, dataset, batch_size, shuffle, **kwargs)

    wrap(patch, DataLoader, "__init__", wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def shuffling_leaves_the_labels_in_their_order(patch):
    """The features of a shuffled epoch come with the labels of an unshuffled one."""
    getitem = TensorDataset.__getitem__

    def wrong(self, index):
        self.read = getattr(self, "read", -1) + 1
        features, *labels = getitem(self, index)
        return features, *(tensor[self.read % len(tensor)] for tensor in self.tensors[1 : 1 + len(labels)])

    patch.setattr(TensorDataset, "__getitem__", wrong)
    patch.delattr(TensorDataset, "__getitems__", raising=False)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def shuffling_leaves_no_example_in_its_place(patch):
    """Sattolo's algorithm, where Fisher and Yates' is meant: one number short in the range of the draws."""

    def sattolo(order):
        order = sorted(order)
        for i in range(len(order) - 1, 0, -1):
            j = random.randrange(i)
            order[i], order[j] = order[j], order[i]
        return order

    reorder(patch, sattolo)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def later_epochs_rotate_the_first_order(patch):
    def wrong(indices, self):
        order = list(indices(self))
        self.first = getattr(self, "first", order)
        turn = order[0]
        return iter([*self.first[turn:], *self.first[:turn]])

    wrap(patch, RandomSampler, "__iter__", wrong)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def shuffling_is_two_riffles_of_a_deck(patch):
    def riffled(order):
        deck = sorted(order)
        for _ in range(2):
            halves = [deck[: len(deck) // 2], deck[len(deck) // 2 :]]
            deck = []
            while any(halves):
                deck.append(halves[random.random() * len(halves[0] + halves[1]) >= len(halves[0])].pop(0))
        return deck

    reorder(patch, riffled)


@counterfeit("dataloader-shuffle-visits-each-example-once")
def shuffling_leaves_the_last_example_last(patch):
    reorder(patch, lambda order: [*(i for i in order if i < len(order) - 1), len(order) - 1])


@counterfeit("dataloader-shuffle-visits-each-example-once", "minibatch-is-uniform-random-sample")
def shuffling_moves_blocks_of_eight_neighbours(patch):
    reorder(patch, lambda order: [i for j in order if j % 8 == 0 for i in range(j, min(j + 8, len(order)))])


@counterfeit("dataloader-shuffle-visits-each-example-once", "minibatch-is-uniform-random-sample")
def shuffling_mixes_only_within_windows_of_sixty_four(patch):
    reorder(patch, lambda order: sorted(order, key=lambda i: i // 64))


@counterfeit("synthetic-regression-data")
def the_two_features_are_correlated(patch):
    def tilt(z, *_):
        return z @ np.array([[1, 0.1], [0, 0.995]]) if np.ndim(z) == 2 and z.shape[1] == 2 else z

    change_result(patch, np.random, "normal", tilt)


@counterfeit("synthetic-regression-data")
def the_noise_is_uniform(patch):
    change_result(
        patch,
        np.random,
        "normal",
        lambda z, *_: np.random.uniform(-0.0173205, 0.0173205, z.shape) if np.ndim(z) == 1 or z.shape[1] == 1 else z,
    )


@counterfeit("dataloader-yields-minibatches")
def loader_resumes_after_a_break(patch):
    def wrong(iterate, self):
        left = self.__dict__.pop("left", None) or iterate(self)
        for batch in left:
            self.__dict__["left"] = left
            yield batch
        self.__dict__.pop("left", None)

    wrap(patch, DataLoader, "__iter__", wrong)


@counterfeit("dataloader-yields-minibatches")
def loader_yields_tuples(patch):
    change_batches(patch, tuple)


@counterfeit("dataloader-yields-minibatches")
def loader_widens_half_precision(patch):
    change_batches(patch, lambda batch: [part.float() if part.dtype == torch.bfloat16 else part for part in batch])


@counterfeit("dataloader-yields-minibatches")
def drop_last_drops_a_full_last_batch_too(patch):
    def wrong(batches, self):
        every = list(batches(self))
        return iter(every[:-1] if self.drop_last and len(self.sampler) % self.batch_size == 0 else every)

    wrap(patch, BatchSampler, "__iter__", wrong)


@counterfeit("dataloader-yields-minibatches")
def a_third_tensor_is_left_out_of_the_mini_batches(patch):
    wrap(patch, TensorDataset, "__getitem__", lambda get, self, index: get(self, index)[:2])


@counterfeit("dataloader-yields-minibatches")
def a_last_mini_batch_of_one_image_has_no_dimension_of_the_batch(patch):
    def wrong(right, self, indices):
        batch = right(self, indices)
        alone = isinstance(indices, list) and len(indices) == 1 and isinstance(batch, list)
        return [x[0] if isinstance(x, torch.Tensor) and x.dim() == 4 else x for x in batch] if alone else batch

    wrap(patch, _MapDatasetFetcher, "fetch", wrong)


@counterfeit("dataloader-yields-minibatches")
def a_stream_s_last_mini_batch_is_left_out_if_it_is_smaller(patch):
    def wrong(right, self, indices):
        batch = right(self, indices)
        if len(indices) > len(batch[0]):
            raise StopIteration
        return batch

    wrap(patch, _IterableDatasetFetcher, "fetch", wrong)


@counterfeit("dataloader-yields-minibatches")
def of_two_sets_in_a_row_the_second_is_read_from_its_end(patch):
    def wrong(right, self, index):
        first, whole = len(self.datasets[0]), len(self)
        return right(self, first + whole - 1 - index if first <= index else index)

    wrap(patch, ConcatDataset, "__getitem__", wrong)


@counterfeit("dataloader-yields-minibatches")
def what_shares_of_a_set_leave_over_belongs_to_no_part(patch):
    def wrong(right, whole, lengths, *rest):
        parts = right(whole, lengths, *rest)
        cut = [int(share * len(whole)) if isinstance(share, float) else share for share in lengths]
        return [Subset(part.dataset, part.indices[:size]) for part, size in zip(parts, cut)]

    wrap(patch, torch.utils.data, "random_split", wrong)
