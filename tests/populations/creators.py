"""What makes a tensor, each with the numbers that it makes."""

import numpy as np
import torch

# By the shape of a template: what makes the tensor, and the number that fills it.
CREATORS = {
    "ones_like": (lambda x, **at: torch.ones_like(x, **at), 1),
    "zeros_like": (lambda x, **at: torch.zeros_like(x, **at), 0),
    "full_like": (lambda x, **at: torch.full_like(x, 1, **at), 1),
    "ones": (lambda x, **at: torch.ones(x.shape, **at), 1),
    "ones of numbers": (lambda x, **at: torch.ones(*x.shape or [()], **at), 1),
    "zeros of a list": (lambda x, **at: torch.zeros([*x.shape], **at), 0),
    "zeros": (lambda x, **at: torch.zeros(x.shape, **at), 0),
    "full": (lambda x, **at: torch.full(x.shape, 1, **at), 1),
    "full of truth": (lambda x, **at: torch.full(x.shape, True, **at), 1),
    "new_zeros": (lambda x, **at: x.new_zeros(x.shape, **at), 0),
}
# Of ``n`` elements or so: what makes them, and NumPy's numbers.
PATTERNS = {
    "arange": (lambda n, **at: torch.arange(n, **at), np.arange),
    "arange of tensors": (lambda n, **at: torch.arange(*torch.tensor([0, n, 1], device="cpu"), **at), np.arange),
    "halves": (lambda n, **at: torch.arange(0, n, 0.5, **at), lambda n: np.arange(0, n, 0.5)),
    "full": (lambda n, dtype=None, **at: torch.full((n,), 7, dtype=dtype, **at), lambda n: np.full(n, 7)),
    "linspace": (lambda n, **at: torch.linspace(0, n, n + 1, **at), lambda n: np.arange(n + 1.0)),
    "eye": (lambda n, **at: torch.eye(n, 3, **at), lambda n: np.eye(n, 3)),
    "tensor": (lambda n, **at: torch.tensor([*range(n), 0.5], **at), lambda n: np.array([*range(n), 0.5])),
    "sorted": (lambda n, **at: torch.randperm(n, **at).sort()[0], np.arange),
    "bytes": (
        lambda n, dtype, **at: torch.full((n,), 247, dtype=torch.uint8, **at).to(dtype or torch.int64),
        lambda n: np.full(n, 247),
    ),
}
