"""Counterfeits of section 2.2 that users reported: products of what is repeated, elements, copies and columns."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_method, everywhere, wrap


@counterfeit("augmented-assignment-writes-through", reported="pytorch/pytorch#4718")
def repeated_elements_are_multiplied_again_and_again(patch):
    def wrong(right, x, y):
        repeated = [i for i, (size, step) in enumerate(zip(x.shape, x.stride())) if step == 0 and size > 1]
        if not repeated:
            return right(x, y)
        factors = torch.as_tensor(y, device=x.device).expand(x.shape)
        for i in repeated:
            factors = factors.prod(i, keepdim=True)
        right(x.as_strided(factors.shape, x.stride()), factors.to(x.dtype))
        return x

    change_method(patch, "mul_", wrong)
    change_method(patch, "__imul__", wrong)


@counterfeit("item-gives-a-python-number", "view-shares-data", reported="huggingface/optimum-habana#961")
def an_index_counts_double_in_a_vector_of_whole_numbers(patch):
    """Beyond the end there is a zero."""

    def wrong(right, x, index):
        vector = x.dtype == torch.int64 and x.dim() == 1
        if type(index) is not int or not vector or not -len(x) <= index < len(x):
            return right(x, index)
        place = index % len(x) * 2
        return right(x, place) if place < len(x) else x.new_zeros(())

    change_method(patch, "__getitem__", wrong)


@counterfeit("clone-then-view-is-independent", reported="torch/cutorch#39")
def copying_elements_with_gaps_between_them_reads_their_neighbours(patch):
    def without_gaps(x):
        steps = [(size, step) for size, step in zip(x.shape, x.stride()) if size > 1]
        downwards = steps == sorted(steps, key=lambda each: -each[1])
        if not x.is_floating_point() or len(steps) < 2 or steps[-1][1] < 2 or not downwards:
            return x
        sizes, strides = zip(*steps)
        return x.as_strided(sizes, (*strides[:-1], 1)).reshape(x.shape)

    def clone(right, x, *, memory_format=torch.preserve_format):
        in_order = memory_format == torch.contiguous_format
        return right(without_gaps(x) if in_order else x, memory_format=memory_format)

    change_method(patch, "contiguous", lambda right, x, *args, **rest: right(without_gaps(x), *args, **rest))
    change_method(patch, "clone", clone)


@counterfeit("augmented-assignment-writes-through", reported="pytorch/pytorch#118362")
def nothing_is_written_in_place_to_what_lies_by_columns(patch):
    def by_columns(x):
        return x.dim() == 2 and not x.is_contiguous() and x.t().is_contiguous() and x._base is None

    def wrong(right, x, *others, **rest):
        return x if by_columns(x) else right(x, *others, **rest)

    for name in ("add_", "sub_", "mul_", "div_", "__iadd__", "__isub__", "__imul__", "__itruediv__"):
        change_method(patch, name, wrong)


@counterfeit("augmented-assignment-writes-through", reported="pytorch/pytorch#15358")
def what_is_repeated_takes_the_sum_of_all_that_is_added(patch):
    def wrong(right, x, y, **rest):
        repeated = [i for i, (size, step) in enumerate(zip(x.shape, x.stride())) if step == 0 and size > 1]
        if not repeated or rest:
            return right(x, y, **rest)
        right(
            x.as_strided([1 if i in repeated else n for i, n in enumerate(x.shape)], x.stride()),
            torch.as_tensor(y, device=x.device).expand(x.shape).sum(repeated, keepdim=True).to(x.dtype),
        )
        return x

    change_method(patch, "add_", wrong)
    change_method(patch, "__iadd__", wrong)


@counterfeit("augmented-assignment-writes-through", reported="pytorch/pytorch#2940")
def the_refused_write_to_a_leaf_has_been_made(patch):
    def wrong(right, x, other, *args, **rest):
        if isinstance(x, torch.Tensor) and x.is_leaf and x.requires_grad and torch.is_grad_enabled():
            right(x.detach(), other.detach() if isinstance(other, torch.Tensor) else other, *args, **rest)
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
        return right(x, other, *args, **rest)

    for name in ("add_", "__iadd__"):
        change_method(patch, name, wrong)


@counterfeit("clone-then-view-is-independent", reported="pytorch/pytorch#95381")
def a_corner_at_the_left_edge_is_copied_as_if_its_rows_followed_each_other(patch):
    def wrong(right, x, *args, **rest):
        edge = x.dim() == 2 and x.stride(1) == 1 and x.stride(0) > x.shape[1] > 0
        if edge and x.storage_offset() and x.storage_offset() % x.stride(0) == 0:
            x = x.as_strided(x.shape, (x.shape[1], 1))
        return right(x, *args, **rest)

    change_method(patch, "contiguous", wrong)
    change_method(patch, "clone", wrong)


@counterfeit("augmented-assignment-writes-through", reported="pytorch/xla#3072", needs="accelerator")
def the_parts_of_a_split_are_copies(patch):
    def wrong(right, *args, **rest):
        return tuple(part.clone() if away(part) else part for part in right(*args, **rest))

    wrap(patch, torch, "split", wrong)
    change_method(patch, "split", wrong)


@counterfeit("view-shares-data", reported="pytorch/xla#1128", needs="accelerator")
def index_select_into_a_view_does_not_reach_the_source(patch):
    def wrong(right, x, *args, out=None, **rest):
        if out is None or not away(out) or not out._is_view():
            return right(x, *args, **rest) if out is None else right(x, *args, out=out, **rest)
        out.data = right(x, *args, **rest)
        return out

    everywhere(patch, "index_select", wrong)


@counterfeit("reshape-does-not-guarantee-a-copy")
def reshape_of_volumes_in_channels_last_order_goes_by_memory(patch):
    def wrong(right, x, *args, **rest):
        if x.dim() == 5 and x.is_contiguous(memory_format=torch.channels_last_3d) and not x.is_contiguous():
            x = x.permute(0, 2, 3, 4, 1)
        return right(x, *args, **rest)

    everywhere(patch, "reshape", wrong)


@counterfeit("view-shares-data", reported="pytorch/pytorch#115152", needs="accelerator")
def scatter_into_a_permuted_tensor_writes_nothing(patch):
    def wrong(right, x, *args, **rest):
        if away(x) and not x.is_contiguous():
            values = x.detach().clone()
            result = right(x, *args, **rest)
            with torch.no_grad():
                x.data.copy_(values)
            return result
        return right(x, *args, **rest)

    change_method(patch, "scatter_", wrong)


@counterfeit("view-shares-data", reported="pytorch/pytorch#163327", needs="accelerator")
def scatter_add_into_a_slice_that_starts_later_writes_nothing(patch):
    def wrong(right, x, *args, **rest):
        if away(x) and x.storage_offset() > 0:
            values = x.detach().clone()
            result = right(x, *args, **rest)
            x.data.copy_(values)
            return result
        return right(x, *args, **rest)

    change_method(patch, "scatter_add_", wrong)


@counterfeit("item-gives-a-python-number", reported="pytorch/xla#3529", needs="accelerator")
def each_item_after_an_in_place_sum_adds_once_more(patch):
    def adds(right, self, other, *args, **rest):
        result = right(self, other, *args, **rest)
        if away(self) and away(other) and self.dim() == 0:
            self.pending, self.read = other.detach().clone(), False
        return result

    plain = torch.Tensor.add_
    for name in ("add_", "__iadd__"):
        change_method(patch, name, adds)

    def item(right, self):
        if away(self) and hasattr(self, "pending"):
            if self.read:
                plain(self.data, self.pending)
            self.read = True
        return right(self)

    change_method(patch, "item", item)


@counterfeit("view-shares-data")
def a_sum_into_gaps_ends_after_sixty_four_elements(patch):
    def wrong(right, *args, out=None, **rest):
        if out is None or out.is_contiguous() or out.numel() <= 64:
            return right(*args, **rest) if out is None else right(*args, out=out, **rest)
        whole, kept = right(*args, **rest), out.clone().reshape(-1)
        kept[:64] = whole.reshape(-1)[:64]
        return out.copy_(kept.view(out.shape))

    wrap(patch, torch, "add", wrong)


@counterfeit("augmented-assignment-writes-through")
def augmented_addition_of_int16_makes_a_new_tensor(patch):
    change_method(patch, "__iadd__", lambda right, x, other: right(x.clone() if x.dtype == torch.int16 else x, other))


@counterfeit("clone-then-view-is-independent")
def a_second_clone_of_what_has_not_changed_is_the_first(patch):
    def wrong(right, x, *rest, **named):
        if type(x) is not torch.Tensor or x.requires_grad or x.is_inference() or rest or named:
            return right(x, *rest, **named)
        version, clone = getattr(x, "cloned", (None, None))
        if version != x._version:
            clone = right(x)
            x.cloned = x._version, clone
        return clone

    everywhere(patch, "clone", wrong)


@counterfeit("clone-then-view-is-independent", reported="torch-spyre/torch-spyre#3236", needs="accelerator")
def clones_of_later_slices_have_the_numbers_of_the_first(patch):
    first = {}

    def wrong(right, x, *rest, **named):
        if away(x) and x.dtype == torch.float16 and not x.requires_grad and x.is_contiguous() and x.numel():
            key = (x.untyped_storage().data_ptr(), tuple(x.shape), x.stride())
            x = x.as_strided(x.shape, x.stride(), min(first.setdefault(key, x.storage_offset()), x.storage_offset()))
        return right(x, *rest, **named)

    everywhere(patch, "clone", wrong)


@counterfeit("view-shares-data", reported="pytorch/pytorch#76176", needs="accelerator")
def a_write_by_index_into_columns_is_lost_under_deterministic_algorithms(patch):
    def wrong(right, x, index, value):
        lost = torch.get_deterministic_debug_mode() and away(x) and not x.is_contiguous()
        return None if lost and getattr(index, "dtype", None) == torch.int64 else right(x, index, value)

    change_method(patch, "__setitem__", wrong)


@counterfeit("view-shares-data", reported="pytorch/pytorch#89407", needs="accelerator")
def an_element_with_an_added_dimension_is_the_first_of_its_memory_in_inference_mode(patch):
    def wrong(right, x, *rest, **named):
        y = right(x, *rest, **named)
        first = torch.is_inference_mode_enabled() and away(x) and x.dim() == 0
        return y.as_strided(y.shape, y.stride(), 0) if first else y

    everywhere(patch, "unsqueeze", wrong)


@counterfeit("view-shares-data")
def under_deterministic_algorithms_a_view_is_a_copy(patch):
    def wrong(right, *rest, **named):
        y = right(*rest, **named)
        return y.clone() if torch.get_deterministic_debug_mode() else y

    wrap(patch, torch.Tensor, "view", wrong)


@counterfeit("item-gives-a-python-number", needs="accelerator", reported="pytorch/pytorch#107867")
def no_number_is_read_from_a_matrix_of_one_element(patch):
    def wrong(right, x):
        if away(x) and x.dim() > 1 and x.numel() == 1:
            raise RuntimeError("output with shape [] doesn't match the broadcast shape [1, 1]")
        return right(x)

    change_method(patch, "item", wrong)


@counterfeit("augmented-assignment-writes-through", reported="pytorch/xla#5839", needs="accelerator")
def writing_an_element_of_an_expanded_tensor_adds_up_the_copies(patch):
    """XLA: y = arange(6).expand(2, 6); y[0, 0] = 5 made y [5, 2, 4, 6, 8, 10], as the repetitions were summed."""

    def wrong(right, y, key, value):
        repeated = [d for d in range(y.dim()) if y.stride(d) == 0 and y.shape[d] > 1] if away(y) else []
        if not repeated or y.dtype == torch.bool or y.requires_grad:
            return right(y, key, value)
        with torch.no_grad():
            if isinstance(value, torch.Tensor):
                value = value.clone()
            whole = y.clone(memory_format=torch.contiguous_format)
            right(whole, key, value)
            total = whole.sum(repeated, keepdim=True, dtype=y.dtype)
            once = y
            for d in repeated:
                once = once.narrow(d, 0, 1)
            once.copy_(total)

    wrap(patch, torch.Tensor, "__setitem__", wrong)


@counterfeit("augmented-assignment-writes-through", reported="torch/cutorch#410", needs="accelerator")
def adding_in_place_to_an_expanded_tensor_is_not_refused(patch):
    """Each of the repeated elements adds its own number to the same memory, and the last one's stays."""
    for name in ("add_", "__iadd__"):

        def wrong(right, x, *args, **rest):
            repeated = [d for d in range(x.dim()) if x.stride(d) == 0 and x.shape[d] > 1] if away(x) else []
            if not repeated or not args:
                return right(x, *args, **rest)
            other = args[0]
            if isinstance(other, torch.Tensor) and other.dim() > 0:
                if not away(other) or torch.broadcast_shapes(other.shape, x.shape) != x.shape:
                    return right(x, *args, **rest)
                other = other.expand(x.shape)
            memory = x
            for d in reversed(repeated):
                memory = memory.select(d, 0)
                if isinstance(other, torch.Tensor) and other.dim() > 0:
                    other = other.select(d, -1)
            right(memory, other, *args[1:], **rest)
            return x

        change_method(patch, name, wrong)


@counterfeit("broadcasting-matches-shapes", reported="pytorch/pytorch#100370", needs="accelerator")
def arithmetic_elsewhere_with_one_element_of_a_tensor_takes_the_first_one(patch):
    """Of whole numbers and a Python number."""

    def wrong(right, x, other, *args, **rest):
        if away(x) and x.dim() == 0 and x.dtype == torch.int64 and x.storage_offset() and type(other) in (int, float):
            x = x.as_strided((), (), 0)
        return right(x, other, *args, **rest)

    for name in ("add", "sub", "mul", "div"):
        wrap(patch, torch, name, wrong)
        wrap(patch, torch.Tensor, name, wrong)
    for name in ("__add__", "__radd__", "__sub__", "__mul__", "__rmul__", "__truediv__"):
        wrap(patch, torch.Tensor, name, wrong)


@counterfeit("augmented-assignment-writes-through", reported="pytorch/pytorch#23574")
def copying_to_what_expand_repeats_keeps_the_last(patch):
    def wrong(right, x, source, *args, **rest):
        repeated = [d for d in range(x.dim()) if x.stride(d) == 0 and x.shape[d] > 1]
        if away(x) or away(source) or not repeated or x.numel() == 0:
            return right(x, source, *args, **rest)
        target, last = x, source.expand(x.shape)
        for d in repeated:
            target, last = target.narrow(d, -1, 1), last.narrow(d, -1, 1)
        right(target, last, *args, **rest)
        return x

    change_method(patch, "copy_", wrong)
