"""``--sim-async``: a sim that works through a queue, as a GPU does, so that whoever forgets to wait is found out.

Between two points of synchronisation,

- what a non-blocking copy brings to the CPU is rubbish there until the queue is empty;
- a non-blocking copy to sim reads its source late: when something computes with the copy, or when the queue is emptied;
- an index out of range is reported late, as a GPU's kernels report it: the result is rubbish, and the error comes from
  the next call that waits.

Reading a value (``item``, ``tolist``, a blocking copy), ``synchronize`` and an event's ``synchronize`` empty the queue.
Everything else is computed at once, which nobody can tell from a queue that is worked through in order.
"""

from collections.abc import Callable

import torch

RUBBISH = 77  # for numbers that are neither floating nor bool; an ordinary one, since rubbish looks like any other

# Their kernels look at values to find the indices out of range; a GPU cannot stop the program for that.
CHECK_VALUES = {
    *("index", "_unsafe_index", "index_put_", "_index_put_impl_", "index_select", "gather", "take", "embedding"),
    *("scatter", "scatter_", "scatter_add", "scatter_add_", "nll_loss_forward", "nll_loss2d_forward"),
}


class Queue:
    """What sim has been told to do and has not done."""

    def __init__(self) -> None:
        self.on = False
        self.copies: list[tuple[int, Callable[[], object]]] = []  # the address of each target's memory, and the copy
        self.error = ""

    def copy(self, source: torch.Tensor, target: torch.Tensor, from_device: bool) -> None:
        """Copy later, between two CPU tensors, one of which lies over sim's memory."""
        source = source.clone() if from_device else source  # the queue is in order, so sim's own values are these
        fill_with_rubbish(target)
        target = target.detach()  # the memory alone: until the copy is done, autograd may have recorded the tensor
        self.copies.append((target.untyped_storage().data_ptr(), lambda: target.copy_(source)))

    def before(self, tensors: list[torch.Tensor]) -> None:
        """Do the copies, if an operator is to compute with the target of one."""
        if self.copies and {tensor.untyped_storage().data_ptr() for tensor in tensors} & {at for at, _ in self.copies}:
            self.work()

    def work(self) -> None:
        copies, self.copies = self.copies, []
        for _, copy in copies:
            copy()

    def empty(self) -> None:
        """Wait for all that was begun. Raises the error that occurred meanwhile."""
        self.work()
        error, self.error = self.error, ""
        if error:
            raise RuntimeError(error)

    def run(self, operator, name: str, args: list, kwargs: dict):
        """Compute on CPU tensors; note an index out of range for later and return rubbish of the right form."""
        try:
            return operator(*args, **kwargs)
        except (IndexError, RuntimeError) as error:
            if not (self.on and name in CHECK_VALUES and "out of" in str(error)):
                raise
            result = self.rubbish(operator, args, kwargs, error)
            self.error = self.error or f"sim: device-side assert triggered: {error}"
            return result

    def rubbish(self, operator, args: list, kwargs: dict, error: Exception):
        """What the operator would return, by its form alone. Raises ``error`` if that is what is wrong."""
        from torch.utils._pytree import tree_map

        def there(value):
            return value.to("meta") if isinstance(value, torch.Tensor) else value

        def here(value):
            if not isinstance(value, torch.Tensor):
                return value
            return fill_with_rubbish(torch.empty(value.shape, dtype=value.dtype, device="cpu"))

        try:
            formed = operator(*tree_map(there, args), **tree_map(there, kwargs))
        except Exception:
            raise error from None
        if operator._schema.name.endswith("_"):  # in place: the argument itself, which keeps what it has
            return args[0]
        return tree_map(here, formed)


def fill_with_rubbish(tensor: torch.Tensor) -> torch.Tensor:
    nan = tensor.is_floating_point() or tensor.is_complex()
    return tensor.detach().fill_(float("nan") if nan else RUBBISH)


queue = Queue()
