"""Counterfeits of 4.9: models that move in part, refuse nothing, or learn otherwise on another device.

They are tried where there is an accelerator.
"""

import copy

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_gradient, not_contiguous, where, wrap
from torch import nn
from torch.nn import functional as F

# ── model-moves-with-to ──


@counterfeit("model-moves-with-to")
def buffers_stay_behind(patch):
    def wrong(apply, self, *args, **kwargs):
        buffers = dict(self._buffers)
        apply(self, *args, **kwargs)
        self._buffers.update(buffers)
        return self

    wrap(patch, nn.Module, "_apply", wrong)


@counterfeit("model-moves-with-to")
def integer_buffers_become_floating_point(patch):
    def wrong(apply, self, *args, **kwargs):
        apply(self, *args, **kwargs)
        self._buffers.update({name: buffer.float() for name, buffer in self._buffers.items()})
        return self

    wrap(patch, nn.Module, "_apply", wrong)


@counterfeit("model-moves-with-to")
def parameters_that_are_not_trained_are_trained_afterwards(patch):
    wrap(patch, nn.Module, "to", lambda to, self, *args, **rest: to(self, *args, **rest).requires_grad_(True))


@counterfeit("model-moves-with-to")
def lists_of_parameters_stay_behind(patch):
    patch.setattr(nn.ParameterList, "_apply", lambda self, *args, **kwargs: self)


@counterfeit("model-moves-with-to")
def the_last_module_stays_behind(patch):
    apply = nn.Module._apply

    def wrong(self, *args, **kwargs):
        for module in list(self)[:-1]:
            apply(module, *args, **kwargs)
        return self

    patch.setattr(nn.Sequential, "_apply", wrong)


@counterfeit("model-moves-with-to")
def gradients_start_again_at_zero(patch):
    def wrong(apply, self, *args, **kwargs):
        gradients = [parameter.grad for parameter in self.parameters()]
        self.zero_grad(set_to_none=True)
        apply(self, *args, **kwargs)
        for parameter, gradient in zip(self.parameters(), gradients):
            parameter.grad = None if gradient is None else torch.zeros_like(parameter)
        return self

    wrap(patch, nn.Module, "_apply", wrong)


@counterfeit("model-moves-with-to")
def cpu_leaves_the_model_where_it_is(patch):
    patch.setattr(nn.Module, "cpu", lambda self: self)


@counterfeit("model-moves-with-to")
def plain_tensors_move_too(patch):
    def wrong(to, self, *args, **kwargs):
        plain = {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)}
        vars(self).update({name: value.to(*args, **kwargs) for name, value in plain.items()})
        return to(self, *args, **kwargs)

    wrap(patch, nn.Module, "to", wrong)


def change_move(patch, wrong):
    """Let ``net.to(...)`` be ``wrong(true to, net, ...)``."""
    to = nn.Module.to
    patch.setattr(nn.Module, "to", lambda self, *args, **rest: wrong(to, self, *args, **rest))


@counterfeit("model-moves-with-to")
def a_model_given_the_device_by_keyword_stays(patch):
    change_move(patch, lambda to, net, *args, **rest: to(net, *args, **rest) if args else net)


@counterfeit("model-moves-with-to")
def a_model_named_by_text_stays(patch):
    change_move(
        patch, lambda to, net, *args, **rest: net if args and isinstance(args[0], str) else to(net, *args, **rest)
    )


@counterfeit("model-moves-with-to")
def a_model_moves_by_way_of_half_precision(patch):
    def wrong(to, net, *args, **rest):
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.copy_(parameter.half())
        return to(net, *args, **rest)

    change_move(patch, wrong)


@counterfeit("model-moves-with-to")
def dicts_of_parameters_stay_behind(patch):
    patch.setattr(nn.ParameterDict, "_apply", lambda self, *args, **kwargs: self)


@counterfeit("model-moves-with-to")
def gradients_are_lost_on_the_way_back(patch):
    wrap(patch, nn.Module, "cpu", lambda cpu, self: (cpu(self), self.zero_grad(set_to_none=True))[0])


@counterfeit("model-moves-with-to")
def a_moved_model_is_set_to_training(patch):
    change_move(patch, lambda to, net, *args, **rest: to(net, *args, **rest).train())


@counterfeit("model-moves-with-to")
def a_moved_model_is_a_copy(patch):
    change_move(patch, lambda to, net, *args, **rest: to(copy.deepcopy(net), *args, **rest))


@counterfeit("model-moves-with-to", reported="pytorch/pytorch#472", needs="two-devices")
def index_zero_means_the_second_device(patch):
    def wrong(to, net, *args, **rest):
        goal = torch.device(str(args[0])) if args and isinstance(args[0], str | torch.device) else None
        zero = goal is not None and goal.type != "cpu" and goal.index == 0
        return to(net, torch.device(goal.type, 1) if zero else args[0], *args[1:]) if args else to(net, **rest)

    change_move(patch, wrong)


# ── parameter-device-tells-the-models-device ──


@counterfeit("parameter-device-tells-the-models-device")
def parameters_claim_to_be_on_the_cpu(patch):
    patch.setattr(nn.Parameter, "device", property(lambda self: torch.device("cpu")))


@counterfeit("parameter-device-tells-the-models-device")
def the_last_parameter_answers_for_all(patch):
    def wrong(parameters, self, recurse=True):
        last = [*parameters(self, recurse)][-1:]
        return iter(last * len([*parameters(self, recurse)]))

    wrap(patch, nn.Module, "parameters", wrong)


# ── model-and-input-must-share-a-device ──


def fetch_input(patch, layer, wanted=lambda x: True):
    """Let a kind of layer move those inputs that are ``wanted`` to where its weight is."""
    forward = layer.forward
    patch.setattr(layer, "forward", lambda self, x: forward(self, x.to(self.weight.device) if wanted(x) else x))


def fetching(right, x, y):
    return right(x, y.to(x.device) if isinstance(y, torch.Tensor) else y)


@counterfeit("model-and-input-must-share-a-device")
def a_product_fetches_its_second_operand(patch):
    wrap(patch, torch.Tensor, "__mul__", fetching)


@counterfeit("model-and-input-must-share-a-device")
def a_linear_layer_fetches_its_input(patch):
    fetch_input(patch, nn.Linear)


@counterfeit("model-and-input-must-share-a-device")
def a_linear_layer_that_is_not_trained_fetches_its_input(patch):
    forward = nn.Linear.forward
    patch.setattr(nn.Linear, "forward", lambda self, x: forward(self, x if self.training else x.to(self.weight.device)))


@counterfeit("model-and-input-must-share-a-device")
def an_embedding_fetches_its_indices(patch):
    fetch_input(patch, nn.Embedding)


@counterfeit("model-and-input-must-share-a-device")
def a_convolution_brings_its_output_to_the_cpu(patch):
    wrap(patch, nn.Conv2d, "forward", lambda forward, self, x: forward(self, x).cpu())


@counterfeit("model-and-input-must-share-a-device")
def a_normalisation_fetches_its_input(patch):
    fetch_input(patch, nn.LayerNorm)


@counterfeit("model-and-input-must-share-a-device")
def a_single_example_is_fetched(patch):
    fetch_input(patch, nn.Linear, lambda x: x.dim() == 1)


@counterfeit("model-and-input-must-share-a-device")
def one_index_is_fetched(patch):
    fetch_input(patch, nn.Embedding, lambda x: x.numel() == 1)


@counterfeit("model-and-input-must-share-a-device")
def input_from_the_other_gpu_is_fetched(patch):
    fetch_input(patch, nn.Conv2d, lambda x: x.device.type != "cpu")


@counterfeit("model-and-input-must-share-a-device")
def a_layer_without_parameters_brings_its_output_to_the_cpu(patch):
    where(patch, nn.ReLU, "forward", lambda layer: True, lambda result, *_: result.cpu())


# ── training-runs-on-gpu ──


def step(patch, step_wrong):
    """Make a step of SGD do ``step_wrong(true step, optimizer, parameters that are not on the CPU)``."""
    true = torch.optim.SGD.step

    def wrong(self, closure=None):
        parameters = [p for group in self.param_groups for p in group["params"] if p.device.type != "cpu"]
        return step_wrong(true, self, parameters)

    patch.setattr(torch.optim.SGD, "step", wrong)


@counterfeit("training-runs-on-gpu")
def steps_on_the_gpu_leave_out_the_last_parameter(patch):
    def wrong(true, optimizer, parameters):
        for parameter in parameters[-1:]:
            parameter.grad = None
        return true(optimizer)

    step(patch, wrong)


@counterfeit("training-runs-on-gpu")
def momentum_on_the_gpu_is_a_tenth_less(patch):
    def wrong(true, optimizer, parameters):
        optimizer.param_groups[0]["momentum"] = 0.81 if parameters else 0.9
        return true(optimizer)

    step(patch, wrong)


@counterfeit("training-runs-on-gpu")
def gradients_on_the_gpu_are_one_per_cent_too_long(patch):
    def wrong(true, optimizer, parameters):
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(1.01)
        return true(optimizer)

    step(patch, wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#118115")
def addcdiv_does_not_reach_a_non_contiguous_tensor(patch):
    """Adam's step leaves such a weight as it was."""

    def wrong(true, self, closure=None):
        missed = [
            (p, p.detach().clone())
            for group in self.param_groups
            for p in group["params"]
            if p.device.type != "cpu" and not p.is_contiguous()
        ]
        result = true(self)
        with torch.no_grad():
            for parameter, before in missed:
                parameter.copy_(before)
        return result

    wrap(patch, torch.optim.Adam, "step", wrong)


@counterfeit("training-runs-on-gpu")
def batches_on_the_gpu_stop_at_256_examples(patch):
    def wrong(linear, x, weight, bias=None):
        cut = x.device.type != "cpu" and x.dim() == 2 and len(x) > 256
        return linear(x * (torch.arange(len(x), device="cpu") < 256).to(x)[:, None] if cut else x, weight, bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("training-runs-on-gpu")
def the_second_step_on_the_gpu_does_nothing(patch):
    calls = []

    def wrong(true, optimizer, parameters):
        calls.append(optimizer)
        return None if parameters and sum(one is optimizer for one in calls) == 2 else true(optimizer)

    step(patch, wrong)


# ── optimizer-keeps-the-parameters-it-was-given ──


@counterfeit("optimizer-keeps-the-parameters-it-was-given")
def a_replaced_parameter_takes_the_place_of_the_old_one(patch):
    def wrong(true, self, name, value):
        old = vars(self).get("_parameters", {}).get(name)
        if isinstance(value, nn.Parameter) and old is not None:
            old.data = value.data
            return
        true(self, name, value)

    wrap(patch, nn.Module, "__setattr__", wrong)


@counterfeit("optimizer-keeps-the-parameters-it-was-given")
def a_new_optimizer_goes_on_with_the_parameters_of_the_first(patch):
    true, first = torch.optim.Adam.__init__, []

    def wrong(self, parameters, **options):
        first.extend([] if first else [list(parameters)])
        true(self, first[0], **options)

    patch.setattr(torch.optim.Adam, "__init__", wrong)


@counterfeit("model-moves-with-to", reported=("pytorch/pytorch#79383", "pytorch/pytorch#80859"))
def a_transposed_parameter_arrives_in_another_order(patch):
    def change(moved, x, *args):
        if moved.device.type != "cpu" and x.device.type == "cpu" and x.dim() > 1 and moved.stride() == x.stride():
            moved.detach().as_strided((x.numel(),), (1,), 0).copy_(x.detach().contiguous().view(-1))
        return moved

    where(patch, torch.Tensor, "to", not_contiguous, change)


@counterfeit("model-moves-with-to")
def a_model_that_shall_not_block_stays(patch):
    change_move(patch, lambda to, net, *args, **rest: net if rest.get("non_blocking") else to(net, *args, **rest))


@counterfeit("model-moves-with-to")
def complex_parameters_lose_their_imaginary_part(patch):
    def wrong(to, x, *args, **rest):
        moved = to(x, *args, **rest)
        return moved.real + 0j if moved.is_complex() and moved.device != x.device else moved

    wrap(patch, torch.Tensor, "to", wrong)


@counterfeit("model-and-input-must-share-a-device")
def a_transposed_convolution_fetches_its_input(patch):
    wrap(patch, F, "conv_transpose2d", lambda right, x, weight, *rest: right(x.to(weight.device), weight, *rest))


@counterfeit("model-and-input-must-share-a-device")
def a_bilinear_layer_fetches_its_second_input(patch):
    wrap(patch, F, "bilinear", lambda right, x, y, weight, bias: right(x, y.to(weight.device), weight, bias))


@counterfeit("training-runs-on-gpu", reported=("pytorch/pytorch#192934", "pytorch/pytorch#189495"))
def a_linear_layer_with_a_bias_errs_on_inputs_of_three_dimensions(patch):
    def wrong(linear, x, weight, bias=None):
        y = linear(x, weight, bias)
        wrong_rows = x.device.type != "cpu" and x.dim() == 3 and bias is not None
        return y + (torch.arange(y.shape[1], device="cpu").to(y) % 2)[:, None] if wrong_rows else y

    wrap(patch, F, "linear", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#175189")
def a_normalisation_of_channels_last_images_has_a_gradient_seven_times_too_large(patch):
    def wrong(right, x, mean, variance, weight=None, *rest, **more):
        last = x.device.type != "cpu" and x.dim() == 4 and not x.is_contiguous()
        weight = change_gradient(weight, lambda grad: 7 * grad) if last else weight
        return right(x, mean, variance, weight, *rest, **more)

    wrap(patch, F, "batch_norm", wrong)


def between_gpus(patch, change):
    """Let the result of ``x.to(...)`` be ``change(result, x)`` where it goes from one GPU to another."""

    def wrong(to, x, *args, **rest):
        result = to(x, *args, **rest)
        away = "cpu" not in (x.device.type, result.device.type) and x.device != result.device
        return change(result, x) if away else result

    wrap(patch, torch.Tensor, "to", wrong)


@counterfeit("model-moves-with-to", needs="two-devices")
def from_the_second_gpu_to_the_first_it_stays(patch):
    between_gpus(patch, lambda result, x: x if result.device.index == 0 else result)


@counterfeit("model-moves-with-to", reported="pytorch/pytorch#13803", needs="two-devices")
def what_goes_from_one_gpu_to_another_arrives_as_zeros(patch):
    between_gpus(patch, lambda result, x: torch.zeros_like(result))


@counterfeit("model-moves-with-to")
def gradients_of_what_is_frozen_are_lost(patch):
    def wrong(apply, self, *args, **rest):
        apply(self, *args, **rest)
        for parameter in self._parameters.values():
            if parameter is not None and not parameter.requires_grad:
                parameter.grad = None
        return self

    wrap(patch, nn.Module, "_apply", wrong)


@counterfeit("training-runs-on-gpu", reported="pytorch/pytorch#189565")
def the_gradient_of_an_input_to_one_output_is_zero_past_4096_numbers(patch):
    def cut(grad):
        return torch.where(torch.arange(grad.numel()).view(grad.shape).to(grad.device) < 4096, grad, 0)

    def wrong(linear, x, weight, bias=None):
        one = x.device.type != "cpu" and x.requires_grad and weight.shape[0] == 1
        return linear(change_gradient(x, cut) if one else x, weight, bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("training-runs-on-gpu")
def an_embedding_on_the_gpu_counts_a_repeated_index_once(patch):
    def wrong(right, indices, weight, *rest, **more):
        y, flat = right(indices, weight, *rest, **more), indices.tolist()
        if weight.device.type == "cpu" or indices.dim() != 1:
            return y
        first = torch.tensor([i not in flat[:place] for place, i in enumerate(flat)], device="cpu").to(weight.device)
        return torch.where(first[:, None], y, y.detach())

    wrap(patch, F, "embedding", wrong)


@counterfeit("optimizer-keeps-the-parameters-it-was-given")
def parameters_assigned_from_a_dict_are_trained_by_the_old_optimizer(patch):
    def wrong(load, self, state, *args, **rest):
        before, result = dict(self.named_parameters()), load(self, state, *args, **rest)
        for name, parameter in self.named_parameters():
            before[name].data = parameter.data
        return result

    wrap(patch, nn.Module, "load_state_dict", wrong)
