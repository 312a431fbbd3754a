"""Section 2.6: views, and what is written into them; derivatives of derivatives."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import everywhere, with_value


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#118180")
def view_of_three_dimensions_loses_the_record(patch):
    """A leaf of (60, 4, 7), viewed as (240, 1, 7), requires no grad."""
    right = torch.Tensor.view

    def wrong(self, *args, **rest):
        result = right(self, *args, **rest)
        lost = self.is_leaf and self.requires_grad and self.dim() == 3 and result.dim() == 3
        return result.detach() if lost and result.shape != self.shape else result

    patch.setattr(torch.Tensor, "view", wrong)


@counterfeit("requires-grad-tracks-operations", reported="pytorch/pytorch#31258")
def writes_to_the_parts_of_unbind_leave_no_record(patch):
    """What is written in place to a part that unbind, split or chunk gave changes its base, but no gradient."""
    for name in ("mul_", "add_", "__imul__", "__iadd__"):
        method = getattr(torch.Tensor, name)

        def wrong(self, other, *args, _m=method, **rest):
            kind = type(self.grad_fn).__name__ if self.requires_grad and self._is_view() else ""
            if kind.startswith(("Unbind", "Split")) and torch.is_grad_enabled():
                number = other.detach() if isinstance(other, torch.Tensor) else other
                _m(self.data, number, *args, **rest)
                return self
            return _m(self, other, *args, **rest)

        patch.setattr(torch.Tensor, name, wrong)


@counterfeit("requires-grad-tracks-operations")
def the_second_derivative_of_the_norm_holds_the_norm_constant(patch):
    def wrong(right, x, *args, **rest):
        if args or rest or not x.requires_grad or x.is_complex() or torch._C._functorch.is_functorch_wrapped_tensor(x):
            return right(x, *args, **rest)
        length = right(x.detach())
        half = (x * x).sum() / (2 * length)
        if not (length > 0 and half.isfinite()):
            return right(x)
        return with_value(half, length)

    everywhere(patch, "norm", wrong)
