"""Counterfeits of 4.9: models that move in part, refuse nothing, or learn otherwise on another device.

They are tried where there is an accelerator.
"""

import torch
from harness.counterfeits import counterfeit
from torch import nn

# ── model-moves-with-to ──


@counterfeit("model-moves-with-to")
def buffers_stay_behind(patch):
    apply = nn.Module._apply

    def wrong(self, *args, **kwargs):
        buffers = dict(self._buffers)
        apply(self, *args, **kwargs)
        self._buffers.update(buffers)
        return self

    patch.setattr(nn.Module, "_apply", wrong)


@counterfeit("model-moves-with-to")
def integer_buffers_become_floating_point(patch):
    apply = nn.Module._apply

    def wrong(self, *args, **kwargs):
        apply(self, *args, **kwargs)
        self._buffers.update({name: buffer.float() for name, buffer in self._buffers.items()})
        return self

    patch.setattr(nn.Module, "_apply", wrong)


@counterfeit("model-moves-with-to")
def parameters_that_are_not_trained_are_trained_afterwards(patch):
    to = nn.Module.to
    patch.setattr(nn.Module, "to", lambda self, device: to(self, device).requires_grad_(True))


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
    apply = nn.Module._apply

    def wrong(self, *args, **kwargs):
        gradients = [parameter.grad for parameter in self.parameters()]
        self.zero_grad(set_to_none=True)
        apply(self, *args, **kwargs)
        for parameter, gradient in zip(self.parameters(), gradients):
            parameter.grad = None if gradient is None else torch.zeros_like(parameter)
        return self

    patch.setattr(nn.Module, "_apply", wrong)


@counterfeit("model-moves-with-to")
def cpu_leaves_the_model_where_it_is(patch):
    patch.setattr(nn.Module, "cpu", lambda self: self)


@counterfeit("model-moves-with-to")
def plain_tensors_move_too(patch):
    to = nn.Module.to

    def wrong(self, *args, **kwargs):
        plain = {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)}
        vars(self).update({name: value.to(*args, **kwargs) for name, value in plain.items()})
        return to(self, *args, **kwargs)

    patch.setattr(nn.Module, "to", wrong)


# ── parameter-device-tells-the-models-device ──


@counterfeit("parameter-device-tells-the-models-device")
def parameters_claim_to_be_on_the_cpu(patch):
    patch.setattr(nn.Parameter, "device", property(lambda self: torch.device("cpu")))


@counterfeit("parameter-device-tells-the-models-device")
def the_last_parameter_answers_for_all(patch):
    parameters = nn.Module.parameters

    def wrong(self, recurse=True):
        last = [*parameters(self, recurse)][-1:]
        return iter(last * len([*parameters(self, recurse)]))

    patch.setattr(nn.Module, "parameters", wrong)


# ── model-and-input-must-share-a-device ──


@counterfeit("model-and-input-must-share-a-device")
def a_linear_layer_fetches_its_input(patch):
    forward = nn.Linear.forward
    patch.setattr(nn.Linear, "forward", lambda self, x: forward(self, x.to(self.weight.device)))


@counterfeit("model-and-input-must-share-a-device")
def a_linear_layer_that_is_not_trained_fetches_its_input(patch):
    forward = nn.Linear.forward
    patch.setattr(nn.Linear, "forward", lambda self, x: forward(self, x if self.training else x.to(self.weight.device)))


@counterfeit("model-and-input-must-share-a-device")
def an_embedding_fetches_its_indices(patch):
    forward = nn.Embedding.forward
    patch.setattr(nn.Embedding, "forward", lambda self, x: forward(self, x.to(self.weight.device)))


@counterfeit("model-and-input-must-share-a-device")
def a_convolution_brings_its_output_to_the_cpu(patch):
    forward = nn.Conv2d.forward
    patch.setattr(nn.Conv2d, "forward", lambda self, x: forward(self, x).cpu())


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
            parameter.grad.mul_(1.01)
        return true(optimizer)

    step(patch, wrong)
