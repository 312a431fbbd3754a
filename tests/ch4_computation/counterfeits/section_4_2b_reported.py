"""Counterfeits of section 4.2 that users reported, parameters that are replaced."""

from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch import nn


@counterfeit("parameter-attributes-register-themselves", reported="dotnet/TorchSharp#499")
def a_parameter_in_the_place_of_another_is_used_and_not_listed(patch):
    def wrong(right, module, name, value):
        listed = module.__dict__.get("_parameters", {}).get(name)
        if isinstance(value, nn.Parameter) and listed is not None:
            module.__dict__[name] = value
        else:
            right(module, name, value)

    wrap(patch, nn.Module, "__setattr__", wrong)
