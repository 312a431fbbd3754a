"""Layers of words and of steps, beside each what it is: attention that does not hear all places, networks in both ways
and of sequences of several lengths, bags of several sizes.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import rnn

from populations import places
from populations.counterparts import COUNTERPARTS, Counterpart, Shown, weights
from populations.initialisers import RELEASE
from populations.rarer_layers import RARER, cell, distinct, states

HEADS = 2


def turns(x: torch.Tensor, *shape: int) -> torch.Tensor:
    """The numbers from -3 to 3 in turn, in this shape."""
    return ((torch.arange(torch.Size(shape).numel(), device="cpu") % 7) - 3).view(shape).to(x)


def hidden(x: torch.Tensor) -> torch.Tensor:
    """The places at the end of every second example that nobody is to hear."""
    places = torch.arange(x.shape[1], device="cpu")
    return (places[None] + torch.arange(len(x), device="cpu")[:, None] % 2 * 2 > x.shape[1]).to(x.device)


def later(x: torch.Tensor) -> torch.Tensor:
    """The places that come after each place."""
    return torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)


def of_heads(x: torch.Tensor) -> torch.Tensor:
    """Pairs of places of which one does not hear the other, others for each head; all hear themselves and the first."""
    mask = turns(x, len(x) * HEADS, x.shape[1], x.shape[1]) > 1
    mask[..., 0] = False
    return mask & ~torch.eye(x.shape[1], dtype=torch.bool, device=x.device)


def bias(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What a mask adds to the products of queries and keys."""
    return torch.zeros_like(mask, dtype=x.dtype).masked_fill(mask, -torch.inf) if mask.dtype == torch.bool else mask


def heard(m: nn.Module, x: torch.Tensor, others: torch.Tensor, more: torch.Tensor | float = 0):
    """What attention in two heads makes of ``x``, that hears ``others``, and how much of each; ``more`` is added to the
    products of queries and keys.
    """
    parts = zip((x, others, others), m.in_proj_weight.chunk(3), m.in_proj_bias.chunk(3))
    queries, keys, values = (F.linear(*part).unflatten(2, (HEADS, -1)).transpose(1, 2) for part in parts)
    shares = (queries @ keys.transpose(2, 3) / queries.shape[3] ** 0.5 + more).softmax(3)
    return F.linear((shares @ values).transpose(1, 2).flatten(2), *weights(m.out_proj)), shares


# The options that say what is heard, and what they add.
MASKS = {
    "padded": lambda x: ({"key_padding_mask": hidden(x)}, bias(x, hidden(x))[:, None, None]),
    "padded by numbers": lambda x: (
        {"key_padding_mask": turns(x, *x.shape[:2]) / 4},
        turns(x, *x.shape[:2])[:, None, None] / 4,
    ),
    "masked": lambda x: ({"attn_mask": later(x)}, bias(x, later(x))),
    "masked by numbers": lambda x: (
        {"attn_mask": turns(x, x.shape[1], x.shape[1]) / 4},
        turns(x, x.shape[1], x.shape[1]) / 4,
    ),
    "masked in each head": lambda x: ({"attn_mask": of_heads(x)}, bias(x, of_heads(x)).unflatten(0, (-1, HEADS))),
    "masked and padded": lambda x: (
        {"attn_mask": later(x), "key_padding_mask": hidden(x)},
        bias(x, later(x)) + bias(x, hidden(x))[:, None, None],
    ),
    "unmasked": lambda x: ({}, 0),
    "masked in each head and padded": lambda x: (
        {"attn_mask": of_heads(x), "key_padding_mask": hidden(x)},
        bias(x, of_heads(x)).unflatten(0, (-1, HEADS)) + bias(x, hidden(x))[:, None, None],
    ),
}
RETURNED = {  # options of what is returned beside the output, and what is shown of it
    "": ({}, lambda y, shares, x: y + shares @ x),
    ", of each head": ({"average_attn_weights": False}, lambda y, shares, x: y + shares.mean(1) @ x),
    ", without shares": ({"need_weights": False}, lambda y, shares, x: y),
}


def attention(masks: Callable, options: dict, show: Callable) -> Counterpart:
    return Counterpart(
        lambda: Shown(
            nn.MultiheadAttention(4, HEADS, batch_first=True),
            lambda m, x: show(*m(x, x, x, **masks(x)[0], **options), x),
        ),
        lambda m, x: (lambda y, shares: show(y, shares if "average_attn_weights" in options else shares.mean(1), x))(
            *heard(m.module, x, x, masks(x)[1])
        ),
        (3, 4),
        fixed=True,
        roundings=64,
    )


def fed(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return F.linear(F.relu(F.linear(x, *weights(m.linear1))), *weights(m.linear2))


def encoded(m: nn.Module, x: torch.Tensor, more: torch.Tensor | float) -> torch.Tensor:
    """What two layers of an encoder are, whose norms come first or after."""
    for layer in m.layers:
        if layer.norm_first:
            met = layer.norm1(x)
            x = x + heard(layer.self_attn, met, met, more)[0]
            x = x + fed(layer, layer.norm2(x))
        else:
            x = layer.norm1(x + heard(layer.self_attn, x, x, more)[0])
            x = layer.norm2(x + fed(layer, x))
    return x


def decoded(m: nn.Module, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    x = m.norm1(x + heard(m.self_attn, x, x, bias(x, later(x)))[0])
    x = m.norm2(x + heard(m.multihead_attn, x, memory, bias(x, hidden(memory))[:, None, None])[0])
    return m.norm3(x + fed(m, x))


def shown(x: torch.Tensor, y: torch.Tensor, name: str) -> torch.Tensor:
    """``y``; where places are padded, without what stands there."""
    if "padded" not in name:
        return y
    return y.masked_fill(hidden(x)[..., None], 0)


def lengths(x: torch.Tensor) -> torch.Tensor:
    """All of the first sequence, less of the next ones."""
    return x.shape[1] - torch.arange(len(x), device="cpu") % x.shape[1]


def one_way(m: nn.Module, x: torch.Tensor, end: torch.Tensor | None, at: str, h, c) -> tuple:
    """The output at each step, and the states after the last one, of the layer whose parameters' names end in ``at``,
    from these states: forwards, or where that ends in "_reverse" from each sequence's end to its beginning.
    """

    class Layer:
        weight_ih, weight_hh, bias_ih, bias_hh = (
            getattr(m, f"{name}{at}").cpu() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )

    outputs, steps = {}, range(x.shape[1])
    for step in reversed(steps) if at.endswith("_reverse") else steps:
        new, state = cell(Layer, m.mode, x[:, step], h, c)
        new = F.linear(new, getattr(m, f"weight_hr{at}").cpu()) if m.proj_size else new
        if end is not None:
            goes_on = (step < end)[:, None]
            new, state = torch.where(goes_on, new, h), torch.where(goes_on, state, c)
        h, c = new, state
        outputs[step] = h if end is None else torch.where(goes_on, h, 0)
    return torch.stack([outputs[step] for step in steps], 1), h, c


def all_of(output: torch.Tensor, *states: torch.Tensor) -> torch.Tensor:
    """An output (batch, steps, features) and states (ways, batch, features), side by side."""
    return torch.cat([output.flatten(1), *(each.transpose(0, 1).flatten(1) for each in states)], 1)


def begun(m: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The two states from which each layer goes in each way: zeros, but of several layers others."""
    if m.num_layers > 1:
        return [torch.stack([each * n * x[:, 0, :1] for n in range(1, m.num_layers + 1)]) for each in states(x)]
    return [x.new_zeros(1 + m.bidirectional, len(x), size) for size in (m.proj_size or m.hidden_size, m.hidden_size)]


def all_ways(m: nn.Module, x: torch.Tensor, end: torch.Tensor | None) -> torch.Tensor:
    """By their formulas, step by step on the CPU, which has less to do for each."""
    place, x = x.device, x.cpu()
    starts, ends = zip(*begun(m, x)), []
    for number in range(m.num_layers):
        ways = [f"_l{number}", f"_l{number}_reverse"][: 1 + m.bidirectional]
        made = [one_way(m, x, end, at, *start) for at, start in zip(ways, starts)]
        x = torch.cat([outputs for outputs, *_ in made], 2)
        ends += [last for _, *last in made]
    return all_of(x, *map(torch.stack, [*zip(*ends)][: 1 + (m.mode == "LSTM")])).to(place)


def run(m: nn.Module, x: torch.Tensor, end: torch.Tensor | None = None) -> torch.Tensor:
    """What a network gives, of sequences that end there, if so told."""
    given = x if end is None else rnn.pack_padded_sequence(x, end, batch_first=True, enforce_sorted=False)
    h, c = begun(m, x)
    output, state = m(given, *[(h, c) if m.mode == "LSTM" else h] * (m.num_layers > 1))
    output = output if end is None else rnn.pad_packed_sequence(output, batch_first=True, total_length=x.shape[1])[0]
    return all_of(output, *(state if isinstance(state, tuple) else [state]))


def words(x: torch.Tensor) -> list[list[int]]:
    """From none to three of four words for each row."""
    return [[(row + place) % 4 for place in range((row + 3) % 4)] for row in range(len(x))]


def bagged(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """One after another, where each row's begin."""
    given = words(x)
    begin = [sum(map(len, given[:row])) for row in range(len(given) + m.include_last_offset)]
    every = torch.tensor([word for bag in given for word in bag], device=x.device)
    return x + m(every, torch.tensor(begin, device=x.device))


def in_bags(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    held = [[word in bag and word != m.padding_idx for word in range(4)] for bag in words(x)]
    counts = torch.tensor(held, device=x.device).to(x)
    if m.mode == "max":
        largest = torch.where(counts[..., None] > 0, m.weight, -torch.inf).amax(1)
        return x + torch.where(counts.sum(1, keepdim=True) > 0, largest, 0)
    return x + counts @ m.weight / (counts.sum(1, keepdim=True).clamp(min=1) if m.mode == "mean" else 1)


def encoder(**options) -> nn.TransformerEncoder:
    """Of two layers, which on the CPU packs examples of several lengths without their padding, in evaluation."""
    layer = nn.TransformerEncoderLayer(4, HEADS, 5, 0.0, batch_first=True, **options)
    for norm in (layer.norm1, layer.norm2):
        nn.init.uniform_(norm.weight, 0.5, 2)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=not options and places.place().type == "cpu")


SEQUENCES = {
    **{
        f"MultiheadAttention, {name}{told}": attention(masks, options, show)
        for (name, masks), (told, (options, show)) in zip(MASKS.items(), 3 * [*RETURNED.items()])
        if "numbers" not in name or RELEASE >= (2, 2)  # of which torch 2.0 makes NaN in evaluation
    },
    **{
        f"TransformerEncoder, {name}{', norms first' * first}": Counterpart(
            lambda name=name, masks=masks, first=first: Shown(
                encoder(**({"norm_first": True} if first else {})),
                lambda m, x: shown(
                    x, m(x, **{{"attn_mask": "mask"}.get(k, f"src_{k}"): v for k, v in masks(x)[0].items()}), name
                ),
            ),
            lambda m, x, name=name, masks=masks: shown(x, encoded(m.module, x, masks(x)[1]), name),
            (3, 4),
            fixed=True,
            roundings=256,
        )
        for number, (name, masks) in enumerate(MASKS.items())
        for first in (number % 3 > 0,)
        if "numbers" not in name  # of which it makes NaN, in evaluation and without a record: pytorch#118628
    },
    "TransformerDecoderLayer": Counterpart(
        lambda: Shown(
            nn.TransformerDecoderLayer(4, HEADS, 5, 0.0, batch_first=True),
            lambda m, x, memory: m(x, memory, later(x), memory_key_padding_mask=hidden(memory)),
        ),
        lambda m, x, memory: decoded(m.module, x, memory),
        (3, 4),
        lambda x: (x.detach().cos(),),
        fixed=True,
        roundings=256,
    ),
    **{
        f"{kind}{ways}{told}": Counterpart(
            lambda kind=kind, options=options, end=end: Shown(
                getattr(nn, kind)(5, 3, batch_first=True, **options), lambda m, x: run(m, x, end and end(x))
            ),
            lambda m, x, end=end: all_ways(m.module, x, end and end(x)),
            (18 if "num_layers" in options else 3, 5),
            fixed=True,
            roundings=256,
        )
        for kind, ways, options, told, end in (
            ("RNN", " in both ways", {"bidirectional": True}, " of several lengths", lengths),
            ("GRU", " in both ways", {"bidirectional": True}, "", None),
            ("GRU", " in both ways", {"bidirectional": True}, " of several lengths", lengths),
            *((kind, "", {}, " of several lengths", lengths) for kind in ("GRU", "LSTM")),
            ("LSTM", " in both ways", {"bidirectional": True}, " of several lengths", lengths),
            ("LSTM", ", projected", {"bidirectional": True, "proj_size": 2}, "", None),
            *((kind, " of three layers", {"num_layers": 3}, "", None) for kind in ("RNN", "GRU", "LSTM")),
        )
    },
    **{
        f"EmbeddingBag, {mode}, one after another{told}": Counterpart(
            lambda mode=mode, options=options: Shown(
                nn.EmbeddingBag.from_pretrained(distinct(), False, mode=mode, **options), bagged
            ),
            lambda m, x: in_bags(m.module, x),
            (5,),
            fixed=True,
        )
        for mode in ("sum", "mean", "max")
        for told, options in (
            ("", {}),
            (", with their end", {"include_last_offset": True}),
            (", padded", {"padding_idx": 1}),
        )
    },
}
# Layers that the CPU lacks in half precision, or whose steps round in it.
NO_HALVES = [
    name
    for name in COUNTERPARTS | RARER | SEQUENCES
    if name.startswith(("AvgPool3d", "MultiMarginLoss", "Transformer", "LPPool", "Cosine", "Pairwise", "LocalR"))
    or name.endswith(("Cell", "three layers", "with options", " norm"))
]
