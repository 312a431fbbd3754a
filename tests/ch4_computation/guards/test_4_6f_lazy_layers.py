"""4.6f State dicts: layers that find the number of their inputs in an example, or in what they are given."""

import pytest
import torch
from populations import agree, among, each, over, whole
from populations.comparing import host
from populations.files import Way
from torch import nn

claim = pytest.mark.claim

# Layers that find their inputs in an example: their other arguments, and the sizes of their input after the channels.
# (An instance normalisation that has taken its parameters from a dict refuses to be called, up to torch 2.15.)
LAZY = {
    "Linear": ((3,), None),
    **{f"{kind}{n}d": ((3, 2), (3,) * n) for n in (1, 2, 3) for kind in ("Conv", "ConvTranspose")},
    **{f"BatchNorm{n}d": ((), (3,) * n) for n in (1, 2, 3)},
}


@claim("state-dict-round-trips", truth=True)
@over(inputs=whole(1, 1025, 7), name=each(*LAZY), at_once=among(True, False))
def test_a_lazy_layer_of_any_kind_takes_parameters_of_any_shape_once_and_keeps_them(inputs, name, at_once):
    rest, sizes = LAZY[name]
    lazy, given, wider = (
        getattr(nn, kind)(*some, *rest).eval()
        for kind, some in ((f"Lazy{name}", ()), (name, (inputs,)), (name, (inputs + 1,)))
    )
    for number, value in enumerate(given.state_dict().values(), 1):
        value.copy_(torch.linspace(1, 2, value.numel()).view(value.shape) * number)
    x = torch.ones(2, inputs, *sizes or ())
    lazy.load_state_dict(given.state_dict() if at_once else Way("memory").round_trip(given.state_dict()))
    agree(lazy(x), host(given(x)), 8)
    for key, value in given.state_dict().items():
        agree(lazy.state_dict()[key], host(value))
    with pytest.raises(RuntimeError, match="size mismatch"):
        lazy.load_state_dict(wider.state_dict())
