"""Where torch documents a name: addresses made from the name alone, since a build fetches nothing."""

import re

TORCH = "https://docs.pytorch.org/docs/stable/"
VISION = "https://docs.pytorch.org/vision/stable/"

# Pages that document several names at once, by the beginning of the name; the first that fits counts.
SHARED = (
    (r"torch\.Tensor$", "tensors.html"),
    (r"torch\.device$", "tensor_attributes.html"),
    (r"torch\.finfo$", "type_info.html"),
    (r"torch\.distributions\.", "distributions.html"),
    (r"torch\.nn\.init\.", "nn.init.html"),
    (r"torch\.optim\.Optimizer$", "optim.html"),
    (r"torch\.serialization\.", "notes/serialization.html"),
    (r"torch\.utils\.data\.", "data.html"),
)
# Methods with a page of their own; those of other classes stand on the class's page.
OWN_PAGE = ("torch.Tensor.", "torch.optim.Optimizer.", "torch.autograd.graph.Node.")


def address(name: str) -> str:
    """The page, and the place on it, where PyTorch's or torchvision's documentation explains ``name``."""
    if name.startswith("torchvision."):
        folder = "models/generated" if name.startswith("torchvision.models.") else "generated"
        return f"{VISION}{folder}/{name}.html"
    for pattern, page in SHARED:
        if re.match(pattern, name):
            return f"{TORCH}{page}#{name}"
    owner = name.rpartition(".")[0]
    if owner.rpartition(".")[2][:1].isupper() and not name.startswith(OWN_PAGE):
        return f"{TORCH}generated/{owner}.html#{name}"
    return f"{TORCH}generated/{name}.html"
