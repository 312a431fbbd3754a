"""What is trained: small networks of several kinds, each with its loss, and optimizers."""

import torch
from torch import nn
from torch.nn.utils import rnn

RECURRENT = ("RNN", "LSTM", "GRU")
RECURRING = {  # of which each gives two features a step
    "": {"hidden_size": 2, "batch_first": True},
    " in both directions": {"hidden_size": 1, "bidirectional": True},  # with the steps first
    " of two layers": {"hidden_size": 2, "num_layers": 2, "batch_first": True},
}
# A network, its loss, and the places in an example at which it is given three features: a step of a sequence, a pixel.
TASKS = {
    "linear": (lambda: nn.Linear(3, 2), nn.MSELoss, ()),
    "softmax": (lambda: nn.Linear(3, 5), nn.CrossEntropyLoss, ()),
    "perceptron": (
        lambda: nn.Sequential(nn.Linear(3, 65), nn.Tanh(), nn.Linear(65, 1), nn.Linear(1, 2)),
        nn.MSELoss,
        (),
    ),
    "words": (lambda: of_words(nn.Embedding(2, 5)), nn.CrossEntropyLoss, ()),
    "normalised first": (lambda: nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 5)), nn.CrossEntropyLoss, ()),
    "normalised": (lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 5)), nn.CrossEntropyLoss, ()),
    "transposed": (lambda: transposing(nn.Linear(3, 2)), nn.MSELoss, ()),
    "in part": (lambda: in_part(nn.Linear(3, 2)), nn.MSELoss, ()),
    "shared": (lambda: twice(nn.Linear(3, 3)), nn.MSELoss, ()),
    "sequences": (lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), nn.MSELoss, (4,)),
    "images": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sigmoid(), nn.Conv2d(4, 5, 2), nn.Flatten()),
        nn.CrossEntropyLoss,
        (2, 2),
    ),
    "pooled": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.AvgPool2d(2, 1, 1), nn.MaxPool2d(2, 1), nn.Conv2d(4, 5, 2)).append(
            nn.Flatten()
        ),
        nn.CrossEntropyLoss,
        (2, 2),
    ),
    "normalised by rows": (lambda: nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 2)), nn.MSELoss, (4,)),
    "images in oblong strides": (
        lambda: nn.Sequential(nn.Conv2d(3, 6, 2, (1, 2), 1, (2, 1), 3), nn.Flatten(), nn.Linear(24, 5)),
        nn.CrossEntropyLoss,
        (2, 2),
    ),
    "images grown in oblong strides": (
        lambda: nn.Sequential(nn.ConvTranspose2d(3, 2, 2, (1, 2), (1, 0)), nn.Flatten(), nn.Linear(8, 5)),
        nn.CrossEntropyLoss,
        (2, 2),
    ),
    "sequences in strides": (
        lambda: of_channels(nn.Sequential(nn.Conv1d(3, 3, 2, 2), nn.Conv1d(3, 4, 1), nn.Flatten(), nn.Linear(8, 5))),
        nn.CrossEntropyLoss,
        (4,),
    ),
    "sequences grown in strides": (
        lambda: of_channels(nn.Sequential(nn.ConvTranspose1d(3, 2, 3, 2, 1, 1), nn.Flatten(), nn.Linear(16, 5))),
        nn.CrossEntropyLoss,
        (4,),
    ),
    **{
        f"{kind}{how}": (
            lambda kind=kind, options=options: nn.Sequential(nn.Linear(3, 3), alone(getattr(nn, kind)(3, **options))),
            nn.MSELoss,
            (4,),
        )
        for kind in RECURRENT
        for how, options in RECURRING.items()
    },
    **{
        f"{kind} of sequences of several lengths": (
            lambda kind=kind: padded(getattr(nn, kind)(3, 2, batch_first=True)),
            nn.MSELoss,
            (4,),
        )
        for kind in RECURRENT
    },
}
OPTIMIZERS = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    "momentum": lambda parameters: torch.optim.SGD(in_groups(parameters), lr=1.0, momentum=0.9, weight_decay=0.01),
    "upwards": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.5, nesterov=True, maximize=True),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01, eps=1e-4),
    "for-loop": lambda parameters: torch.optim.Adam(parameters, lr=0.01, eps=1e-4, foreach=False),
}


def in_groups(parameters):
    """Each parameter in a group of its own, with a rate of its own."""
    return [{"params": [each], "lr": 0.1 / number} for number, each in enumerate(parameters, 1)]


def of_words(net):
    """The layer with the numbers of words for its input: 0 or 1, each of them many times."""
    net.register_forward_pre_hook(lambda net, inputs: (inputs[0][:, 0] > 0).long())
    return net


def of_channels(net):
    """The layers with the features of sequences as their channels, before the steps."""
    net.register_forward_pre_hook(lambda net, inputs: (inputs[0].movedim(-1, 1),))
    return net


def alone(net):
    """The layer without the last state that it hands back beside its outputs; where it wants the steps first, it gets
    them first.
    """
    first = 0 if net.batch_first else 1
    net.register_forward_pre_hook(lambda net, inputs: (inputs[0].transpose(0, first),))
    net.register_forward_hook(lambda net, inputs, results: results[0].transpose(0, first))
    return net


def padded(net):
    """The layer of sequences each of which ends, in turn, after its second step or after its last."""

    def pack(net, inputs):
        lengths = torch.arange(len(inputs[0]), device="cpu") % 2 * 2 + 2
        return (rnn.pack_padded_sequence(inputs[0], lengths, batch_first=True, enforce_sorted=False),)

    net.register_forward_pre_hook(pack)
    net.register_forward_hook(lambda net, inputs, results: rnn.pad_packed_sequence(results[0], True, 0.0, 4)[0])
    return net


def twice(layer):
    """A network that runs the layer twice."""
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Tanh(), nn.Linear(3, 2))


def in_part(net):
    """The layer with a bias that is frozen, and a parameter that has no part in what it computes."""
    net.bias.requires_grad_(False)
    net.spare = nn.Parameter(torch.full((3,), 100.0))
    return net


def transposing(net):
    """The layer with a weight that is not contiguous."""
    net.weight = nn.Parameter(net.weight.detach().t().contiguous().t())
    return net


def steps(net, make_optimizer, loss, features, labels, count, passes):
    """Train a network on these examples for ``count`` steps, each with the gradients of so many ``passes`` added up.
    Returns what it made of them last.
    """
    optimizer = make_optimizer(net.parameters())
    for _ in range(count):
        optimizer.zero_grad()
        for _ in range(passes):
            result = net(features)
            assert len(result) == len(features)
            loss(result, labels).backward()
        optimizer.step()
    return result


def grouped(parameters, name: str, **options) -> torch.optim.Optimizer:
    """An optimizer with a group for each parameter, all but the first added later to one of what is nobody's."""
    groups = [{"params": [each]} for each in [torch.zeros(1, requires_grad=True), *parameters]]
    optimizer = getattr(torch.optim, name)(groups[:2], lr=0.5, **options)
    for group in groups[2:]:
        optimizer.add_param_group(group)
    return optimizer
