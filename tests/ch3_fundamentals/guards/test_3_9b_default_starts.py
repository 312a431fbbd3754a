"""3.9 What layers start with where nothing is asked for: distributions, for every kind of layer, size and dtype."""

import math

import numpy as np
import pytest
import torch
from populations import HALVES, SINGLE_AND_DOUBLE, agree, among, over
from populations.comparing import accepted, host
from populations.statistics import distance, distance_bound, normal_levels
from torch import nn

claim = pytest.mark.claim

UNIFORM = among(
    *((nn.Linear, sizes, sizes[0]) for sizes in ((1, 2000), (25, 2000), (64, 2000, False), (1025, 40))),
    *((nn.Conv1d, (5, 700, 3), 15), (nn.Conv2d, (5, 600, (3, 2)), 30), (nn.Conv3d, (2, 700, 2), 16)),
    *((nn.ConvTranspose2d, (9, 300, 2), 1200), (nn.Conv2d, (6, 600, 3, 1, 0, 1, 2), 27)),
    *((nn.RNNCell, (30, 64), 64), (nn.LSTMCell, (30, 64), 64), (nn.GRUCell, (30, 64), 64)),
    *((nn.Bilinear, (9, 4, 700), 9), (nn.RNN, (30, 64), 64), (nn.GRU, (30, 64), 64)),
    *((nn.ConvTranspose1d, (9, 300, 2), 600), (nn.LSTM, (30, 64, 2, True, False, 0.0, True), 64)),
)


@claim("default-init-is-sensible", "random-init-breaks-symmetry")
@pytest.mark.start_values
@over(layer=UNIFORM, dtype=among(*SINGLE_AND_DOUBLE, *HALVES))
def test_weighted_sums_start_uniformly_within_one_over_the_root_of_their_inputs_and_no_two_units_equal(layer, dtype):
    kind, sizes, inputs = layer
    made = kind(*sizes, dtype=dtype)
    grain = torch.finfo(dtype).eps
    for name, parameter in made.named_parameters():
        levels = (host(parameter).reshape(-1).astype(np.float64) * math.sqrt(inputs) + 1) / 2
        assert -grain <= levels.min() <= levels.max() <= 1 + grain
        assert distance(levels.clip(0, 1)) < distance_bound(levels.size, grain), name
        units = host(parameter).reshape(len(parameter), -1)[:, :20]
        assert units.shape[1] < 8 or len(np.unique(units, axis=0)) == len(units)  # 8 numbers of a half have 64 bits
    starts = {host(parameter).reshape(-1)[:20].tobytes() for parameter in made.parameters()}
    assert len(starts) == len([*made.parameters()])


@claim("default-init-is-sensible")
@over(inputs=among(0, 1), outputs=among(0, 3), bias=among(False, True))
def test_a_layer_of_no_features_or_no_units_can_be_made_and_adds_up_nothing(inputs, outputs, bias):
    made = accepted(nn.Linear, inputs, outputs, bias)
    assert made.weight.shape == (outputs, inputs)
    result = made(torch.zeros(2, inputs))
    agree(result, np.broadcast_to(host(made.bias) if bias else 0, (2, outputs)))


@claim("default-init-is-sensible")
@pytest.mark.start_values
@over(kind=among(nn.Embedding, nn.EmbeddingBag), dtype=among(torch.float32, torch.bfloat16))
def test_embeddings_draw_standard_normal_vectors_but_zeros_for_padding(kind, dtype):
    rows = host(kind(400, 257, padding_idx=3, dtype=dtype).weight).astype(np.float64)
    assert not rows[3].any()
    levels = normal_levels(np.delete(rows, 3, 0).reshape(-1))
    assert distance(levels) < distance_bound(levels.size, torch.finfo(dtype).eps)


@claim("default-init-is-sensible")
@pytest.mark.start_values
@over(
    width=among(40, 64),
    apart=among({}, {"kdim": 30, "vdim": 50}, {"add_bias_kv": True}),
    dtype=among(torch.float32, *HALVES),
)
def test_attention_starts_by_xavier_and_by_its_inputs_and_with_biases_of_zero(width, apart, dtype):
    made = nn.MultiheadAttention(width, 2, dtype=dtype, **apart)
    grain = torch.finfo(dtype).eps
    for name, parameter in made.named_parameters():
        values = host(parameter).astype(np.float64)
        if name.endswith("bias"):
            agree(parameter, np.zeros(values.shape))
            continue
        if name.startswith("bias"):  # bias_k and bias_v, an extra key and value: normal numbers by Xavier
            levels = normal_levels(values.reshape(-1) * math.sqrt(width))
            assert distance(levels) < distance_bound(levels.size, grain), name
            continue
        end = math.sqrt(1 / width if name == "out_proj.weight" else 6 / sum(values.shape))
        levels = (values.reshape(-1) / end + 1) / 2
        assert -grain <= levels.min() <= levels.max() <= 1 + grain
        assert distance(levels.clip(0, 1)) < distance_bound(levels.size, grain), name


@claim("default-init-is-sensible")
@pytest.mark.start_values
@over(
    layer=among(
        *((nn.BatchNorm1d, (3,)), (nn.BatchNorm2d, (257,)), (nn.LayerNorm, (3,)), (nn.GroupNorm, (1, 9))),
        *((nn.LayerNorm, ((2, 3),)), (nn.InstanceNorm1d, (3, 1e-5, 0.1, True))),
    )
)
def test_normalisation_starts_as_no_change_of_scale_and_prelu_with_a_slope_of_a_quarter(layer):
    kind, sizes = layer
    made = kind(*sizes)
    agree(made.weight, np.ones(made.weight.shape))
    agree(made.bias, np.zeros(made.weight.shape))
    for name, buffer in made.named_buffers():
        agree(buffer, np.full(buffer.shape, name.endswith("var")))
    agree(nn.PReLU(3).weight, np.full(3, 0.25))


@claim("default-init-is-sensible")
@pytest.mark.start_values
@over(layer=among((nn.Linear, (3, 2)), (nn.Conv1d, (3, 2, 2)), (nn.LSTM, (3, 2)), (nn.Embedding, (5, 2))))
def test_every_layer_and_every_reset_draws_anew(layer):
    kind, sizes = layer
    first, second = kind(*sizes), kind(*sizes)
    before = [host(parameter).copy() for parameter in first.parameters()]
    first.reset_parameters()

    for old, now, other in zip(before, first.parameters(), second.parameters()):  # two of 24 bits: 6e-8 ** 2
        assert np.any(old != host(now))
        assert np.any(old != host(other))


NEW = (
    *(("Linear", (3, 2)), ("Bilinear", (2, 3, 4)), ("Embedding", (4, 3, 1)), ("EmbeddingBag", (4, 3))),
    *(("Conv2d", (2, 3, 2)), ("ConvTranspose1d", (2, 3, 2)), ("LSTM", (2, 3, 2, True, False, 0.0, True))),
    ("GRUCell", (2, 3)),
    *(("BatchNorm1d", (3,)), ("InstanceNorm2d", (3, 0.1, 0.1, True, True)), ("LayerNorm", (3,)), ("GroupNorm", (1, 3))),
)


@claim("default-init-is-sensible")
@over(layer=among(*NEW))
def test_by_one_seed_a_reset_starts_every_parameter_and_buffer_as_a_new_layer_does(layer):
    name, given = layer
    seed = torch.initial_seed()
    torch.manual_seed(seed)
    made = getattr(nn, name)(*given)
    started = {key: host(value).copy() for key, value in made.state_dict().items()}
    for value in made.state_dict().values():
        value.fill_(7)
    torch.manual_seed(seed)
    made.reset_parameters()
    for key, value in made.state_dict().items():
        agree(value, started[key])


TOLD_LATE = among(
    *(("Linear", (3, *bias), (2, 4, 7)) for bias in ((), (False,))),
    *(
        (f"{name}{n}d", given, (2, 6, *[6] * n))
        for n in (1, 2, 3)
        for name, given in (
            *(("Conv", (4, 3, 2)), ("Conv", (4, 2, 1, 1, 1, 2, False)), ("ConvTranspose", (4, 3, 2))),
            *(("BatchNorm", (0.1,)), ("InstanceNorm", (0.1, 0.2, True, True))),
        )
    ),
)


@claim("default-init-is-sensible", "random-init-breaks-symmetry")
@over(layer=TOLD_LATE)
def test_a_layer_that_finds_its_inputs_in_an_example_is_the_layer_that_is_told_them(layer):
    name, given, sizes = layer
    seed = torch.initial_seed()
    torch.manual_seed(seed)
    late = getattr(nn, f"Lazy{name}")(*given).eval()
    late(torch.zeros(sizes))
    torch.manual_seed(seed)
    told = getattr(nn, name)(sizes[-1] if name == "Linear" else sizes[1], *given).eval()

    assert (type(late), str(late)) == (type(told), str(told))
    assert [*late.state_dict()] == [*told.state_dict()]
    for one, other in zip(late.state_dict().values(), told.state_dict().values()):
        agree(one, host(other))


@claim("default-init-is-sensible", truth=True)
@over(kind=among("Encoder", "Decoder"), layers=among(2, 5), width=among(4, 16))
def test_every_parameter_of_every_layer_of_a_transformer_is_an_own_copy_of_the_given_one(kind, layers, width):
    given = getattr(nn, f"Transformer{kind}Layer")(width, 2, 2 * width, batch_first=True)
    made = getattr(nn, f"Transformer{kind}")(given, layers).layers

    assert len(made) == layers
    for name, parameter in given.named_parameters():
        copies = [layer.get_parameter(name) for layer in made]
        for each in copies:
            agree(each, host(parameter))
        assert len({each.data_ptr() for each in (parameter, *copies)}) == layers + 1
