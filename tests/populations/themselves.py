"""Functions of several tensors that are given one tensor in two places or more: all that comes back to it adds up."""

from torch.nn import functional as F

# Of a matrix of three columns: layers and losses of it twice, of its shares, of a row as weight and bias.
OF_ITSELF = {
    "bilinear of itself": lambda x: F.bilinear(x, x, x[None, :3]),
    "attention of itself": lambda x: F.scaled_dot_product_attention(x, x, x),
    "conv1d of itself": lambda x: F.conv1d(rows := x[None], rows, padding=1),
    "conv2d of itself": lambda x: F.conv2d(image := x[None, None], image, padding=1),
    "conv_transpose2d of itself": lambda x: F.conv_transpose2d(image := x[None, None], image),
    "layer_norm by a row": lambda x: F.layer_norm(x, (3,), row := x[0], row),
    "batch_norm by a row": lambda x: F.batch_norm(x, None, None, row := x[0], row, training=True),
    "cross_entropy of itself": lambda x: F.cross_entropy(x, x),
    "poisson_nll_loss of itself": lambda x: F.poisson_nll_loss(x, x),
    "kl_div of itself": lambda x: F.kl_div(share := x.sigmoid(), share, reduction="sum"),
    "binary_cross_entropy of itself": lambda x: F.binary_cross_entropy(share := x.sigmoid(), share),
    "binary_cross_entropy_with_logits of itself": lambda x: F.binary_cross_entropy_with_logits(x, x),
}
