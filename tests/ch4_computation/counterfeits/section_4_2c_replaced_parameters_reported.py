"""Section 4.2: what users reported of parameters that take another's place."""

from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch import nn


@counterfeit("named-parameters-is-a-generator", reported="dotnet/TorchSharp#499")
def a_layer_goes_on_listing_the_parameter_that_another_replaced(patch):
    def wrong(right, self, name, value):
        if type(self) is nn.Linear and isinstance(value, nn.Parameter) and self._parameters.get(name) is not None:
            self.__dict__[name] = value
        else:
            right(self, name, value)

    wrap(patch, nn.Module, "__setattr__", wrong)
