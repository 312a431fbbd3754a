"""Counterfeits of section 4.2: parameters in whose place there are others."""

from harness.counterfeits import counterfeit
from harness.forging import wrap
from torch import nn


def keep_first(patch, classes, name="weight"):
    """Let layers of these classes compute with the parameter that they had at their first call."""

    def wrong(forward, self, *args, **rest):
        if self._parameters.get(name) is None:
            return forward(self, *args, **rest)
        first = self.__dict__.setdefault(f"first_{name}", [self._parameters[name]])
        now = self._parameters[name]
        self._parameters[name] = first[0]
        try:
            return forward(self, *args, **rest)
        finally:
            self._parameters[name] = now

    for one in classes:
        wrap(patch, one, "forward", wrong)


@counterfeit("nn-builds-on-autograd")
def a_linear_layer_computes_with_the_weight_of_its_first_call(patch):
    keep_first(patch, (nn.Linear,))


@counterfeit("nn-builds-on-autograd")
def a_convolution_computes_with_the_weight_of_its_first_call(patch):
    keep_first(patch, (nn.Conv1d, nn.Conv2d))


@counterfeit("nn-builds-on-autograd")
def an_embedding_computes_with_the_table_of_its_first_call(patch):
    keep_first(patch, (nn.Embedding,))


@counterfeit("nn-builds-on-autograd")
def a_batch_norm_computes_with_the_scale_of_its_first_call(patch):
    keep_first(patch, (nn.BatchNorm1d, nn.BatchNorm2d))


def replaced(patch, change):
    """Call ``change(module, name)`` where a parameter has taken the place of another."""

    def wrong(right, self, name, value):
        old = self._parameters.get(name) if isinstance(value, nn.Parameter) and "_parameters" in self.__dict__ else None
        right(self, name, value)
        if old is not None and old is not value:
            change(self, name, old)

    wrap(patch, nn.Module, "__setattr__", wrong)


@counterfeit("parameter-attributes-register-themselves")
def to_leaves_a_parameter_behind_that_replaced_another(patch):
    replaced(patch, lambda self, name, old: self.__dict__.setdefault("stays", set()).add(name))

    def wrong(right, self, *args, **rest):
        stays = {
            name: self._parameters.pop(name) for name in self.__dict__.get("stays", ()) if name in self._parameters
        }
        try:
            return right(self, *args, **rest)
        finally:
            self._parameters.update(stays)

    wrap(patch, nn.Module, "_apply", wrong)


@counterfeit("parameter-attributes-register-themselves", "named-parameters-is-a-generator")
def a_parameter_set_anew_after_its_deletion_is_not_listed(patch):
    def deleted(right, self, name):
        if name in self.__dict__.get("_parameters", {}):
            self.__dict__.setdefault("gone", set()).add(name)
        right(self, name)

    def wrong(right, self, name, value):
        if isinstance(value, nn.Parameter) and name in self.__dict__.get("gone", ()):
            self.__dict__[name] = value
        else:
            right(self, name, value)

    wrap(patch, nn.Module, "__delattr__", deleted)
    wrap(patch, nn.Module, "__setattr__", wrong)
