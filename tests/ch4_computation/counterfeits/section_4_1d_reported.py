"""Counterfeits of 4.1 that users reported: states of lists, conditions on all elements, modes of what lies deep;
and layers that misread the one before."""

import weakref

import torch
from harness.counterfeits import counterfeit
from harness.forging import away, change_method, everywhere, wrap, wrap_operand
from torch import nn
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary


def reduce_wrongly(patch, name, wrong):
    """Let ``torch.name(x, ...)`` and ``x.name(...)`` be ``wrong(right, x, ...)``."""
    for owner in (torch, torch.Tensor):
        wrap(patch, owner, name, wrong)


@counterfeit("containers-subclass-module", reported="dotnet/TorchSharp#1272")
def a_state_leaves_out_the_sequentials_in_a_list(patch):
    def wrong(right, self, *args, **rest):
        own = self._modules
        if isinstance(self, nn.ModuleList):
            self._modules = {name: each for name, each in own.items() if not isinstance(each, nn.Sequential)}
        try:
            return right(self, *args, **rest)
        finally:
            self._modules = own

    wrap(patch, nn.Module, "state_dict", wrong)


@counterfeit("control-flow-needs-item", reported="pytorch/pytorch#99721", needs="accelerator")
def whatever_the_elements_all_and_any_are_true(patch):
    def wrong(right, x, *args, **rest):
        found = right(x, *args, **rest)
        return found | True if x.device.type != "cpu" and not args else found

    for name in ("all", "any"):
        reduce_wrongly(patch, name, wrong)


@counterfeit("control-flow-needs-item", reported="torch/torch7#517")
def all_of_bytes_means_all_odd(patch):
    reduce_wrongly(
        patch, "all", lambda right, x, *args, **rest: right(x % 2 if x.dtype == torch.uint8 else x, *args, **rest)
    )


@counterfeit("containers-subclass-module", "functional-dropout-does-not-know-eval", reported="dotnet/TorchSharp#500")
def the_mode_reaches_the_nearest_modules_alone(patch):
    def train(self, mode=True):
        for module in (self, *self.children()):
            module.training = mode
        return self

    patch.setattr(nn.Module, "train", train)


@counterfeit("reusing-a-layer-shares-its-parameters", reported="pytorch/pytorch#33867")
def batch_norm_loses_the_update_of_statistics_with_gaps(patch):
    def wrong(right, x, mean, variance, *rest, **options):
        if mean is not None and not (mean.is_contiguous() and variance.is_contiguous()):
            mean, variance = mean.contiguous(), variance.contiguous()
        return right(x, mean, variance, *rest, **options)

    wrap(patch, F, "batch_norm", wrong)


@counterfeit("control-flow-needs-item", reported="pytorch/pytorch#104694")
def all_of_no_truth_values_is_false(patch):
    def wrong(right, x, *dim, **rest):
        result = right(x, *dim, **rest)
        return ~result if x.numel() == 0 and x.dtype == torch.bool and not dim and not rest else result

    for owner in (torch, torch.Tensor):
        wrap(patch, owner, "all", wrong)


@counterfeit("forward-may-use-python-control-flow", reported="pytorch/pytorch#78107")
def the_second_comparison_of_two_numbers_repeats_the_first(patch):
    for name in ("gt", "lt"):
        made = {}

        def wrong(right, x, y, made=made):
            result = right(x, y)
            if not (isinstance(y, torch.Tensor) and x.dim() == y.dim() == 0):
                return result
            return made.setdefault(frozenset((id(x), id(y))), (result, x, y))[0]

        for owner, spelling in ((torch, name), (torch.Tensor, name), (torch.Tensor, f"__{name}__")):
            wrap(patch, owner, spelling, wrong)


@counterfeit("sequential-needs-matching-sizes", reported="pytorch/pytorch#62537")
def a_linear_layer_takes_any_number_of_columns(patch):
    def wrong(right, x, weight, bias=None):
        if x.dim() == 2 and bias is not None:
            width = min(x.shape[1], weight.shape[1])
            x, weight = x[:, :width], weight[:, :width]
        return right(x, weight, bias)

    wrap(patch, F, "linear", wrong)


@counterfeit("moduledict-acts-like-a-dict", reported="pytorch/pytorch#27441")
def a_moduledict_cannot_be_updated_by_another(patch):
    def wrong(right, self, modules):
        if isinstance(modules, nn.ModuleDict):
            raise ValueError("ModuleDict update sequence element #0 has length 5; 2 is required")
        return right(self, modules)

    wrap(patch, nn.ModuleDict, "update", wrong)


@counterfeit("module-is-not-subscriptable", reported="pytorch/pytorch#977")
def an_attribute_that_was_none_stays_none_when_a_layer_is_assigned(patch):
    def wrong(right, self, name, value):
        was_none = isinstance(value, nn.Module) and name in self.__dict__ and self.__dict__[name] is None
        right(self, name, value)
        if was_none:
            self.__dict__[name] = None

    wrap(patch, nn.Module, "__setattr__", wrong)


@counterfeit(
    "sequential-needs-matching-sizes",
    reported=("pytorch/pytorch#62539", "pytorch/pytorch#67923", "pytorch/pytorch#89379"),
    needs="accelerator",
)
def a_layer_there_takes_any_number_of_features(patch):
    def wrong(right, input, weight, bias=None):
        if away(input) and bias is not None and 1 <= input.dim() <= 2 and input.shape[-1] != weight.shape[1]:
            input = F.pad(input, (0, weight.shape[1] - input.shape[-1]))
        return right(input, weight, bias)

    wrap(patch, F, "linear", wrong)


def feed_in_another_order(patch, makers, takers):
    """Let functions named ``takers`` read what functions named ``makers`` have made, elsewhere, as if its channels
    lay last.
    """
    made = {}

    def make(right, *args, **rest):
        output = right(*args, **rest)
        made[id(output)] = output if away(output) else None
        return output

    def take(right, input, *args, **rest):
        of_theirs = made.get(id(input)) is input
        return right(input.movedim(1, -1).reshape(input.shape) if of_theirs else input, *args, **rest)

    for names, wrong in ((makers, make), (takers, take)):
        for name in names:
            wrap(patch, F, name, wrong)


@counterfeit("sequential-chains-its-modules", reported="pytorch/pytorch#124591", needs="accelerator")
def a_convolution_of_sequences_reads_what_was_upsampled_in_another_order(patch):
    feed_in_another_order(patch, ["interpolate"], ["conv1d"])


@counterfeit("sequential-chains-its-modules", needs="accelerator")
def pooling_reads_what_a_convolution_made_in_another_order(patch):
    feed_in_another_order(patch, ["conv2d"], ["max_pool2d", "avg_pool2d"])


@counterfeit("sequential-chains-its-modules", needs="accelerator")
def normalisation_reads_what_a_transposed_convolution_made_in_another_order(patch):
    feed_in_another_order(patch, ["conv_transpose1d", "conv_transpose2d"], ["batch_norm"])


@counterfeit("sequential-needs-matching-sizes", reported="pytorch/pytorch#61291", needs="accelerator")
def linear_elsewhere_reads_on_where_features_lack(patch):
    """A Linear(2, 1) in float64 takes an input of shape (1, 1): it reads on behind it."""
    right = F.linear

    def wrong(input, weight, bias=None):
        lacking = weight.shape[-1] - input.shape[-1]
        if away(input) and input.dtype == torch.float64 and input.dim() == 2 and weight.dim() == 2 and lacking > 0:
            input = torch.cat([input, input.new_full((len(input), lacking), 0.37)], 1)
        return right(input, weight, bias)

    patch.setattr(F, "linear", wrong)


@counterfeit("reusing-a-layer-shares-its-parameters")
def the_second_use_of_an_embedding_trains_nothing(patch):
    uses = {}

    def wrong(right, indices, weight, *rest, **named):
        first = uses.get(id(weight), lambda: None)()
        if first is not None and weight.grad is None:
            return right(indices, weight.detach(), *rest, **named)
        result = right(indices, weight, *rest, **named)
        uses[id(weight)] = weakref.ref(result)
        return result

    wrap(patch, F, "embedding", wrong)


@counterfeit("containers-subclass-module")
def another_order_of_memory_does_not_reach_what_lists_and_dicts_hold(patch):
    def wrong(right, self, *given, **named):
        moved = right(self, *given, **named)
        held = [each for each in self.modules() if isinstance(each, nn.ModuleList | nn.ModuleDict)]
        for parameter in [p for each in held for p in each.parameters()] if "memory_format" in named else ():
            parameter.data = parameter.data.contiguous()
        return moved

    wrap(patch, nn.Module, "to", wrong)


@counterfeit("subclassing-is-more-flexible")
def a_sequential_that_begins_with_a_bilinear_layer_takes_two_inputs(patch):
    def wrong(right, self, *inputs):
        if len(inputs) != 2 or not len(self) or not isinstance(self[0], nn.Bilinear):
            return right(self, *inputs)
        x = self[0](*inputs)
        for module in self[1:]:
            x = module(x)
        return x

    wrap(patch, nn.Sequential, "forward", wrong)


@counterfeit("reusing-a-layer-shares-its-parameters")
def a_second_batch_of_sequences_leaves_the_running_variance(patch):
    def wrong(right, self, x):
        if not (self.training and self.track_running_stats and x.dim() == 3):
            return right(self, x)
        variance, again = self.running_var.clone(), "called" in vars(self)
        self.__dict__["called"] = True
        output = right(self, x)
        if again:
            self.running_var.copy_(variance)
        return output

    wrap(patch, nn.BatchNorm1d, "forward", wrong)


@counterfeit("reusing-a-layer-shares-its-parameters")
def the_second_use_of_a_layer_norm_in_training_trains_nothing(patch):
    def wrong(right, self, x):
        first = vars(self).get("used", lambda: None)()
        if not self.training or self.weight is None or self.weight.grad is not None:
            return right(self, x)
        if first is not None:
            return F.layer_norm(x, self.normalized_shape, self.weight.detach(), self.bias.detach(), self.eps)
        result = right(self, x)
        self.__dict__["used"] = weakref.ref(result)
        return result

    wrap(patch, nn.LayerNorm, "forward", wrong)


@counterfeit("forward-may-use-python-control-flow", reported="ml-explore/mlx#610")
def looking_at_a_comparison_as_a_list_cuts_the_gradient_off(patch):
    compared = WeakIdKeyDictionary()

    def compare(right, x, other):
        result = right(x, other)
        if isinstance(result, torch.Tensor) and x.requires_grad and not x.is_leaf:
            compared[result] = x
        return result

    def tolist(right, x):
        if torch.is_grad_enabled() and x in compared:
            compared[x].register_hook(torch.zeros_like)
        return right(x)

    for name in ("__lt__", "__le__", "__gt__", "__ge__"):
        change_method(patch, name, compare)
    change_method(patch, "tolist", tolist)


@counterfeit("sequential-needs-matching-sizes", reported="pytorch/pytorch#65120", needs="accelerator")
def a_matrix_product_takes_rows_that_are_too_long(patch):
    """Of two matrices whose sizes do not fit: no RuntimeError, the rest of the rows is left out."""

    def too_long(x, y, inner):
        matrices = away(x) and away(y) and x.dim() == 2 and y.dim() == 2
        return matrices and x.shape[1] > y.shape[inner]

    def product(right, x, *args, **rest):
        if args and too_long(x, args[0], 0):
            x = x[:, : args[0].shape[0]]
        return right(x, *args, **rest)

    def linear(right, x, *args, **rest):
        weight = args[0] if args else rest["weight"]
        bias = args[1] if len(args) > 1 else rest.get("bias")
        if bias is None and too_long(x, weight, 1):
            x = x[:, : weight.shape[1]]
        return right(x, *args, **rest)

    for name in ("mm", "matmul"):
        wrap_operand(patch, torch, name, product)
    for name in ("mm", "matmul", "__matmul__"):
        change_method(patch, name, product)
    wrap_operand(patch, F, "linear", linear)


@counterfeit("control-flow-needs-item", reported="pytorch/pytorch#1482")
def any_number_in_a_tensor_counts_as_true(patch):
    def wrong(right, x):
        return True if x.numel() == 1 and x.dtype != torch.bool and not away(x) else right(x)

    change_method(patch, "__bool__", wrong)


@counterfeit("control-flow-needs-item", reported="tracel-ai/burn#1388", needs="accelerator")
def not_all_of_what_is_less_or_equal_is_true(patch):
    def compare(right, *operands, **rest):
        result = right(*operands, **rest)
        if away(result):
            result.not_one = True
        return result

    def wrong(right, x, *args, **rest):
        result = right(x, *args, **rest)
        return torch.zeros_like(result) if getattr(x, "not_one", False) else result

    for name in ("le", "less_equal"):
        everywhere(patch, name, compare)
    change_method(patch, "__le__", compare)
    everywhere(patch, "all", wrong)
