"""Counterfeits of 4.9: moves and training that are wrong for one dtype, one place, one way."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import (
    alter_property,
    around_step,
    away,
    change_method,
    hold_still,
    parameters_of,
    step_with,
    wrap,
)
from torch import nn
from torch.nn import functional as F


def arrives_as_zeros(patch, dtype):
    """Let a tensor of ``dtype`` go from one GPU to another as zeros."""

    def wrong(to, x, *args, **rest):
        y = to(x, *args, **rest)
        return torch.zeros_like(y) if y.dtype == dtype and away(x) and away(y) and x.device != y.device else y

    change_method(patch, "to", wrong)


@counterfeit("model-moves-with-to", reported="pytorch/pytorch#106474", needs="two-devices")
def whole_numbers_go_from_one_gpu_to_another_as_zeros(patch):
    arrives_as_zeros(patch, torch.int64)


@counterfeit("model-moves-with-to", reported="pytorch/pytorch#132397", needs="two-devices")
def numbers_of_half_precision_go_from_one_gpu_to_another_as_zeros(patch):
    arrives_as_zeros(patch, torch.float16)


@counterfeit("model-moves-with-to", reported="dotnet/TorchSharp#1179")
def a_list_hands_out_the_parameters_that_it_had_before_the_move(patch):
    def moved(apply, self, *args, **rest):
        before = dict(self._parameters)
        apply(self, *args, **rest)
        vars(self)["before"] = before
        return self

    def handed(get, self, index):
        old = vars(self).get("before", {}).get(str(index))
        return get(self, index) if old is None else old

    wrap(patch, nn.ParameterList, "_apply", moved)
    wrap(patch, nn.ParameterList, "__getitem__", handed)


def change_to(patch, wrong):
    """Let ``net.to(...)`` be ``wrong(true to, net, ...)``."""
    wrap(patch, nn.Module, "to", wrong)


@counterfeit("model-moves-with-to", reported="dotnet/TorchSharp#1191", needs="two-devices")
def gradients_stay_on_the_first_gpu(patch):
    stale = {}

    def wrong(to, net, *args, **rest):
        before = {name: parameter.device for name, parameter in net.named_parameters()}
        to(net, *args, **rest)
        for name, parameter in net.named_parameters():
            if before[name].type == parameter.device.type and before[name] != parameter.device:
                stale[id(parameter)] = before[name]
        return net

    change_to(patch, wrong)
    alter_property(patch, "grad", lambda x, grad: grad if grad is None or id(x) not in stale else grad.to(stale[id(x)]))


@counterfeit("model-moves-with-to", reported="openmm/openmm-torch#70", needs="two-devices")
def a_model_goes_to_the_first_gpu_whichever_is_named(patch):
    def wrong(to, net, *args, **rest):
        goal = torch.device(args[0]) if args and isinstance(args[0], str | torch.device) else None
        first = goal is not None and goal.index == 1
        return to(net, torch.device(goal.type, 0), *args[1:], **rest) if first else to(net, *args, **rest)

    change_to(patch, wrong)


@counterfeit("training-runs-on-gpu", reported="tracel-ai/burn#1890")
def a_model_that_was_moved_does_not_learn(patch):
    moved = []

    def wrong(to, net, *args, **rest):
        here = {name for name, parameter in net.named_parameters() if not away(parameter)}
        to(net, *args, **rest)
        moved.extend(parameter for name, parameter in net.named_parameters() if name in here and away(parameter))
        return net

    change_to(patch, wrong)
    hold_still(
        patch, torch.optim.SGD, lambda optimizer: [p for p in parameters_of(optimizer) if any(p is m for m in moved)]
    )


@counterfeit("model-moves-with-to")
def a_model_that_is_there_already_loses_its_gradients(patch):
    def wrong(to, net, *args, **rest):
        before = {parameter.device for parameter in net.parameters()}
        to(net, *args, **rest)
        if before == {parameter.device for parameter in net.parameters()} and any(map(away, net.parameters())):
            net.zero_grad()
        return net

    change_to(patch, wrong)


@counterfeit("model-moves-with-to", needs="two-devices")
def the_kind_of_device_alone_means_its_first_whichever_is_current(patch):
    def wrong(to, net, *args, **rest):
        goal = torch.device(args[0]) if args and isinstance(args[0], str | torch.device) else None
        bare = goal is not None and goal.type != "cpu" and goal.type != "meta" and goal.index is None
        return to(net, torch.device(goal.type, 0), *args[1:], **rest) if bare else to(net, *args, **rest)

    change_to(patch, wrong)


@counterfeit("training-runs-on-gpu")
def a_step_in_double_precision_rounds_to_single(patch):
    def wrong(step, self, *args, **rest):
        result = step(self, *args, **rest)
        for parameter in parameters_of(self):
            if parameter.dtype == torch.float64 and away(parameter):
                parameter.data = parameter.data.float().double()
        return result

    wrap(patch, torch.optim.SGD, "step", wrong)


@counterfeit("training-runs-on-gpu", needs="two-devices")
def on_the_second_gpu_nothing_is_learned(patch):
    hold_still(patch, torch.optim.SGD, lambda optimizer: [p for p in parameters_of(optimizer) if p.device.index == 1])


@counterfeit("model-moves-with-to", reported="nntile/nntile#464")
def what_lies_late_in_the_memory_of_the_cpu_moves_as_what_lies_at_its_beginning(patch):
    def wrong(to, x, *args, **rest):
        y = to(x, *args, **rest)
        late = x.device.type == "cpu" and away(y) and x.is_contiguous() and x.storage_offset()
        return to(x.detach().as_strided(x.shape, x.stride(), 0), *args, **rest) if late else y

    change_method(patch, "to", wrong)


@counterfeit("model-moves-with-to", needs="two-devices")
def the_part_of_a_divided_model_that_is_on_another_gpu_stays(patch):
    def wrong(to, net, *args, **rest):
        places = {parameter.device for parameter in net.parameters()}
        if len(places) < 2:
            return to(net, *args, **rest)
        for module in net.modules():
            if not list(module.children()) and not any(map(away, module.parameters())):
                to(module, *args, **rest)
        return net

    change_to(patch, wrong)


@counterfeit("training-runs-on-gpu")
def a_second_gradient_replaces_the_first(patch):
    def wrong(backward, loss, *args, **rest):
        before = list(kept)
        for x in before:
            x.grad = None if x.grad is not None and away(x) else x.grad
        return backward(loss, *args, **rest)

    kept = []
    init = torch.optim.Optimizer.__init__

    def remembered(self, *args, **rest):
        init(self, *args, **rest)
        kept.extend(parameters_of(self))

    patch.setattr(torch.optim.Optimizer, "__init__", remembered)
    change_method(patch, "backward", wrong)


@counterfeit("training-runs-on-gpu")
def a_gpu_does_not_learn_the_last_group(patch):
    def rate(self, group):
        last = group is self.param_groups[-1] is not self.param_groups[0] and away(group["params"][0])
        return 0.0 if last else group["lr"]

    step_with(patch, torch.optim.SGD, "lr", rate)


@counterfeit("model-and-input-must-share-a-device")
def a_normalisation_without_weights_takes_input_on_the_cpu(patch):
    def wrong(right, x, mean, var, weight=None, *args, **rest):
        return right(x.to(mean.device) if weight is None and mean is not None else x, mean, var, weight, *args, **rest)

    wrap(patch, F, "batch_norm", wrong)


@counterfeit("training-runs-on-gpu")
def maximize_is_ignored_on_the_device(patch):
    def wrong(step, self, *args, **rest):
        for group in self.param_groups:
            if away(group["params"][0]):
                group["maximize"] = False
        return step(self, *args, **rest)

    wrap(patch, torch.optim.SGD, "step", wrong)


@counterfeit("model-and-input-must-share-a-device")
def a_recurrent_layer_takes_input_from_the_cpu(patch):
    wrap(patch, nn.RNN, "forward", lambda right, self, x, *a: right(self, x.to(self.weight_ih_l0.device), *a))


@counterfeit("model-and-input-must-share-a-device")
def attention_takes_input_from_the_cpu(patch):
    wrap(
        patch,
        nn.MultiheadAttention,
        "forward",
        lambda right, self, *xs, **k: right(self, *(x.to(self.in_proj_weight.device) for x in xs), **k),
    )


@counterfeit("training-runs-on-gpu")
def a_recurrent_layer_computes_with_the_weights_that_it_had_at_the_move(patch):
    def wrong(apply, self, *args, **rest):
        apply(self, *args, **rest)
        self._flat_weights = [nn.Parameter(weight.detach().clone()) for weight in self._flat_weights]
        return self

    wrap(patch, nn.RNNBase, "_apply", wrong)


@counterfeit("training-runs-on-gpu")
def a_recurrent_layer_has_no_second_bias(patch):
    def wrong(forward, self, *args):
        for name, bias in self.named_parameters():
            if name.startswith("bias_hh") and away(bias):
                bias.data.zero_()
        return forward(self, *args)

    for kind in (nn.RNN, nn.LSTM, nn.GRU):
        wrap(patch, kind, "forward", wrong)


def fetch_input(patch, wanted):
    """Let a linear layer take input that is ``wanted(x, bias)`` from any device."""

    def wrong(right, x, weight, bias=None):
        return right(x.to(weight.device) if wanted(x, bias) else x, weight, bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("model-and-input-must-share-a-device")
def a_single_row_comes_to_a_layer_without_bias(patch):
    fetch_input(patch, lambda x, bias: bias is None and x.shape[0] == 1 and x.dim() == 2)


@counterfeit("model-and-input-must-share-a-device")
def input_without_elements_comes_from_anywhere(patch):
    fetch_input(patch, lambda x, bias: x.numel() == 0)


@counterfeit("training-runs-on-gpu")
def only_the_first_use_of_a_layer_since_backward_has_a_gradient(patch):
    used = set()

    def wrong(right, x, weight, bias=None):
        again = id(weight) in used and away(weight)
        used.add(id(weight))
        return right(x, weight.detach() if again else weight, bias)

    def backward(right, x, *args, **rest):
        used.clear()
        return right(x, *args, **rest)

    wrap(patch, F, "linear", wrong)
    change_method(patch, "backward", backward)


@counterfeit("model-and-input-must-share-a-device")
def a_first_state_may_come_from_the_cpu(patch):
    def wrong(right, self, x, hx=None):
        return right(self, x, hx if hx is None else hx.to(x.device))

    for kind in (nn.RNN, nn.GRU):
        wrap(patch, kind, "forward", wrong)


@counterfeit("training-runs-on-gpu")
def a_parameter_without_gradient_decays_there(patch):
    def wrong(step, self, *args, **rest):
        for group in self.param_groups:
            for p in group["params"]:
                if away(p) and p.grad is None and group["weight_decay"]:
                    p.grad = torch.zeros_like(p)
        return step(self, *args, **rest)

    wrap(patch, torch.optim.SGD, "step", wrong)


@counterfeit("model-moves-with-to")
def a_frozen_parameter_that_moves_wants_a_gradient(patch):
    def wrong(right, self, *args, **rest):
        before = {name: p.device for name, p in self._parameters.items() if p is not None}
        right(self, *args, **rest)
        for name, place in before.items():
            self._parameters[name].requires_grad |= self._parameters[name].device != place
        return self

    wrap(patch, nn.Module, "_apply", wrong)


@counterfeit("model-and-input-must-share-a-device")
def a_normalisation_without_scale_fetches_its_input_for_evaluation(patch):
    def wrong(right, self, x):
        fetches = not (self.training or self.affine) and self.running_mean is not None
        return right(self, x.to(self.running_mean.device) if fetches else x)

    wrap(patch, nn.modules.batchnorm._BatchNorm, "forward", wrong)


@counterfeit("optimizer-keeps-the-parameters-it-was-given")
def the_last_of_several_groups_follows_what_is_assigned(patch):
    became = {}

    def assigned(right, self, name, value):
        old = vars(self).get("_parameters", {}).get(name)
        right(self, name, value)
        if old is not None and isinstance(value, nn.Parameter):
            became[old] = value

    def followed(optimizer):
        for group in optimizer.param_groups[1:]:
            group["params"] = [became.get(p, p) for p in group["params"]]

    wrap(patch, nn.Module, "__setattr__", assigned)
    around_step(patch, torch.optim.SGD, before=followed)


@counterfeit("optimizer-keeps-the-parameters-it-was-given")
def a_parameter_frozen_when_the_optimizer_is_built_is_never_trained(patch):
    def wrong(right, self, group):
        right(self, group)
        kept = self.param_groups[-1]
        kept["params"] = [p for p in kept["params"] if p.requires_grad]

    wrap(patch, torch.optim.Optimizer, "add_param_group", wrong)


@counterfeit("optimizer-keeps-the-parameters-it-was-given")
def who_loads_a_state_goes_on_with_copies_of_the_parameters(patch):
    def wrong(right, optimizer, state):
        right(optimizer, state)
        for group in optimizer.param_groups:
            copies = [w.detach().clone().requires_grad_(w.requires_grad) for w in group["params"]]
            for old, new in zip(group["params"], copies):
                optimizer.state[new] = optimizer.state.pop(old, {})
            group["params"] = copies

    wrap(patch, torch.optim.Optimizer, "load_state_dict", wrong)


@counterfeit("model-and-input-must-share-a-device")
def a_batch_of_nothing_is_fetched_from_wherever_it_lies(patch):
    def wrong(right, x, weight, *args, **rest):
        return right(x if len(x) else x.to(weight.device), weight, *args, **rest)

    for name in ("linear", "prelu"):
        wrap(patch, F, name, wrong)
