"""4.2 Accessing parameters, for trees of modules of every kind and after edits of every kind."""

import copy
import types

import pytest
import torch
from populations import ANY, EVERY_MODE, FLOATS, LAYOUTS, SINGLE_AND_DOUBLE, WRITABLE, agree, among, over, twins
from populations.changes import CHANGES
from populations.containers import ids, told
from populations.modules import layers, tree, trees
from populations.twins import FEW, KINDS
from torch import nn

claim = pytest.mark.claim
# Layers of which the trees of every guard have none, behind an index of three digits
RARER = tree("Sequential", *["ReLU"] * 102, "Bilinear", "Conv1d", "Conv3d", "ConvTranspose2d", "RNN", "wide Linear")


@claim("named-parameters-is-a-generator", "shared-parameter-is-listed-once", "parameter-names-carry-the-layer-index")
@claim("shared-parameter-is-listed-once", truth=True)
@over(EVERY_MODE, tree=trees(SINGLE_AND_DOUBLE).also(RARER), change=among("none", "eval", "load"))
def test_each_parameter_of_a_tree_comes_once_with_its_first_path_in_the_order_of_registration(tree, change):
    module, plan = tree
    CHANGES[change](module)
    once, own = plan.once(), [member for member in plan.once() if "." not in member.name]
    for number, parameter in enumerate(module.parameters()):  # equal or frozen, they come apart all the same
        parameter.requires_grad_(parameter.requires_grad and number % 2 > 0).detach().fill_(1)
        parameter.grad = torch.ones_like(parameter) if change == "load" else None
    pairs = module.named_parameters()

    for made in (pairs, module.parameters(), module.named_parameters(recurse=False), module.parameters(recurse=False)):
        assert type(made) is types.GeneratorType
    assert told(pairs) == told(once)
    assert list(pairs) == []  # used up
    assert {type(pair) for pair in module.named_parameters()} <= {tuple}  # the next call starts afresh
    assert told(module.named_parameters(prefix="net")) == [(f"net.{m.name}", id(m.tensor)) for m in once]
    assert ids(module.parameters()) == [id(member.tensor) for member in once]
    assert [tuple(parameter.size()) for parameter in module.parameters()] == [member.array.shape for member in once]
    assert told(module.named_parameters(recurse=False)) == told(own)
    assert told(module.named_parameters("net", False)) == [(f"net.{m.name}", id(m.tensor)) for m in own]
    assert ids(module.parameters(recurse=False)) == [id(member.tensor) for member in own]
    assert told(module.named_parameters(remove_duplicate=False)) == told(plan.parameters)
    every = module.named_parameters(recurse=False, remove_duplicate=False)
    assert told(every) == told(member for member in plan.parameters if "." not in member.name)
    assert [(name, x.data_ptr()) for name, x in module.state_dict().items()] == [
        (member.name, member.tensor.data_ptr()) for member in plan.state
    ]
    assert told(module.to(torch.float16).named_parameters()) == told(once)  # in another dtype they are the same objects


@claim("parameter-is-a-tensor-subclass")
@over(layer=layers(dtypes=FLOATS), change=among(*CHANGES))
def test_whatever_a_layer_learns_is_a_parameter_of_its_dtype_and_its_buffers_are_none(layer, change):
    module, plan = layer
    assert {parameter.dtype for parameter in module.parameters()} <= {layer.dtype}
    module = CHANGES[change](module)
    for parameter in module.parameters():
        assert (type(parameter), isinstance(parameter, torch.Tensor), parameter.is_leaf) == (nn.Parameter, True, True)
    assert len([*module.named_parameters(remove_duplicate=False)]) == len(plan.parameters)  # "assign" unties
    assert not any(isinstance(buffer, nn.Parameter) for buffer in module.buffers())


@claim("parameter-is-a-tensor-subclass")
@over(twin=twins(ANY, WRITABLE, FEW, kinds=KINDS[:2]), trained=among(True, False), recorded=among(True, False))
def test_a_parameter_is_the_tensor_that_it_was_made_of_in_another_class(twin, trained, recorded):
    tensor, array = twin
    trained = trained and (tensor.is_floating_point() or tensor.is_complex())
    with torch.set_grad_enabled(recorded):
        made = nn.Parameter(tensor) if trained else nn.Parameter(tensor, requires_grad=False)
    copied, result = copy.deepcopy(made), made + made
    looks = (made.dtype, made.device, made.stride(), made.data_ptr())

    agree(made, array)
    agree(result, array + array)
    assert looks == (tensor.dtype, tensor.device, tensor.stride(), tensor.data_ptr())
    assert (type(made), made.requires_grad, made.is_leaf) == (nn.Parameter, trained, True)
    assert (type(result), result.requires_grad) == (torch.Tensor, trained)
    tensor.zero_()
    agree(copied, array)
    assert (type(copied), copied.requires_grad, copied.dtype) == (nn.Parameter, trained, tensor.dtype)


class Weight(nn.Parameter):
    """A parameter of one's own class."""


BEFORE = {  # what stood under the name before
    "nothing": lambda module: None,
    "None": lambda module: module.register_parameter("w", None),
    "an attribute": lambda module: setattr(module, "w", 5),
    "a plain tensor": lambda module: setattr(module, "w", torch.ones(2)),
    "a buffer": lambda module: module.register_buffer("w", torch.ones(2)),
    "a module": lambda module: setattr(module, "w", nn.Linear(2, 2)),
    "a parameter": lambda module: setattr(module, "w", nn.Parameter(torch.ones(4))),
    "a deleted one": lambda module: (setattr(module, "w", nn.Parameter(torch.ones(1))), delattr(module, "w")),
}


@claim("parameter-attributes-register-themselves")
@over(
    twin=twins(layouts=WRITABLE, shapes=FEW, kinds=KINDS[:2]),
    before=among(*BEFORE),
    kind=among((nn.Parameter, True), (nn.Parameter, False), (Weight, True)),
)
def test_a_parameter_of_any_kind_joins_under_the_name_of_its_attribute_whatever_stood_there(twin, before, kind):
    tensor, array = twin
    module, made = nn.Module(), kind[0](tensor, requires_grad=kind[1])
    BEFORE[before](module)
    module.first = nn.Parameter(torch.ones(2))
    module.w = made
    module.later = nn.Parameter(torch.ones(3), requires_grad=False)

    names = ("w", "first", "later") if before in ("a parameter", "None") else ("first", "w", "later")  # a place is kept
    assert told(module.named_parameters()) == told((name, getattr(module, name)) for name in names)
    assert list(module.state_dict()) == list(names)
    assert module.w is made
    assert list(module.children()) == list(module.buffers()) == []
    agree(module.w, array)
    module.w = None
    with pytest.raises(TypeError, match="as parameter 'w'"):
        module.w = tensor
    del module.first
    assert told(module.named_parameters()) == told([("later", module.later)])


@claim("parameter-attributes-register-themselves")
@over(
    twin=twins((*FLOATS[::2], torch.int64, torch.complex64), LAYOUTS, FEW, grad=(False, True), kinds=KINDS[:2]),
    wrap=among(lambda x: x, lambda x: [x], lambda x: {"w": x}, lambda x: [nn.Parameter(torch.ones(2)), x]),
)
def test_a_plain_tensor_or_a_python_list_does_not_join_nor_take_the_place_of_a_parameter(twin, wrap):
    tensor, _ = twin
    module, kept = nn.Module(), wrap(tensor)
    module.trained = made = nn.Parameter(torch.zeros_like(tensor), tensor.requires_grad)
    module.kept = kept

    with pytest.raises(TypeError, match="as parameter 'trained'"):
        module.trained = kept
    assert told(module.named_parameters()) == [("trained", id(made))]
    assert (list(module.state_dict()), list(module.children()), module.kept is kept) == (["trained"], [], True)
