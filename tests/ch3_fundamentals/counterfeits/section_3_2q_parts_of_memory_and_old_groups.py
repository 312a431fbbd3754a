"""Counterfeits of section 3.2: parameters that share memory, layers counted from the end, and groups used before."""

from collections import OrderedDict

import torch
from harness.counterfeits import counterfeit
from harness.forging import around_step, change_gradient, everywhere, parameters_of, wrap
from torch import nn
from torch.nn import functional as F
from torch.nn import init
from torch.optim import LBFGS, SGD, AdamW, Optimizer


@counterfeit("nn-builds-on-autograd")
def masked_attention_gives_the_values_no_gradient(patch):
    def wrong(right, q, k, v, *args, **rest):
        if rest.get("is_causal") or rest.get("attn_mask") is not None:
            v = v.detach()
        return right(q, k, v, *args, **rest)

    wrap(patch, F, "scaled_dot_product_attention", wrong)


@counterfeit("module-is-layer-or-network")
def conversion_reaches_three_levels(patch):
    def wrong(right, self, change, recurse=True, level=0):
        for child in self.children() if recurse and level < 2 else ():
            wrong(right, child, change, recurse, level + 1)
        return right(self, change, False)

    wrap(patch, nn.Module, "_apply", wrong)


@counterfeit("sequential-keeps-order")
def a_slice_backwards_runs_forwards(patch):
    def wrong(right, self, index):
        if isinstance(index, slice) and (index.step or 1) < 0:
            return right(self, slice(None, None, -index.step))
        return right(self, index)

    wrap(patch, nn.Sequential, "__getitem__", wrong)


@counterfeit("sequential-keeps-order")
def insertion_from_the_end_is_off_by_one(patch):
    wrap(
        patch,
        nn.Sequential,
        "insert",
        lambda right, self, at, module: right(self, at if at >= 0 else (at + 1 or len(self)), module),
    )


@counterfeit("parameters-is-a-generator-of-learnables")
def of_parameters_in_one_storage_one_comes(patch):
    def wrong(right, self, *args, **rest):
        seen = set()
        for n, p in right(self, *args, **rest):
            key = p.untyped_storage().data_ptr() if p.numel() else id(p)
            if key not in seen:
                seen.add(key)
                yield n, p

    wrap(patch, nn.Module, "named_parameters", wrong)


@counterfeit("data-fill-equals-constant-init")
def a_part_of_a_parameter_is_set_unseen(patch):
    wrap(patch, init, "constant_", lambda right, t, val: (right(t.data, val), t)[1] if t._is_view() else right(t, val))


def show_of_the_first(patch, option):
    """Let an optimizer be printed as if every group had this option of the first."""

    def wrong(right, self):
        own = self.param_groups
        self.param_groups = [{**group, option: own[0][option]} for group in own]
        try:
            return right(self)
        finally:
            self.param_groups = own

    wrap(patch, Optimizer, "__repr__", wrong)


@counterfeit("optimizer-prints-its-options")
def every_group_is_shown_with_the_momentum_of_the_first(patch):
    show_of_the_first(patch, "momentum")


@counterfeit("parameter-groups-have-own-learning-rates")
def a_group_of_named_parameters_takes_the_default_rate(patch):
    def wrong(right, self, group):
        members = group["params"]
        if isinstance(members, list) and members and isinstance(members[0], tuple):
            group["lr"] = self.defaults["lr"]
        right(self, group)

    wrap(patch, Optimizer, "add_param_group", wrong)


@counterfeit("new-optimizer-is-cheap")
def adamw_allocates_for_matrices_at_once(patch):
    def wrong(right, self, *args, **rest):
        right(self, *args, **rest)
        for p in parameters_of(self):
            if p.dim() > 1:
                self.state[p] = {
                    "step": torch.tensor(0.0),
                    "exp_avg": torch.zeros_like(p),
                    "exp_avg_sq": torch.zeros_like(p),
                }
                for g in self.param_groups:
                    if g["amsgrad"]:
                        self.state[p]["max_exp_avg_sq"] = torch.zeros_like(p)

    wrap(patch, AdamW, "__init__", wrong)


@counterfeit("new-optimizer-loses-momentum")
def built_of_the_old_one_s_groups_sgd_keeps_the_momentum(patch):
    def after(self):
        for g in self.param_groups:
            for p in g["params"]:
                if "momentum_buffer" in self.state.get(p, {}):
                    p.kept = self.state[p]["momentum_buffer"]

    around_step(patch, SGD, after=after)

    def wrong(right, self, params, *args, **rest):
        params = list(params)
        old = bool(params) and isinstance(params[0], dict) and "momentum" in params[0]
        right(self, params, *args, **rest)
        for p in parameters_of(self) if old else ():
            if hasattr(p, "kept"):
                self.state[p]["momentum_buffer"] = p.kept

    wrap(patch, SGD, "__init__", wrong)


@counterfeit("step-updates-parameters")
def with_a_line_search_lbfgs_moves_once(patch):
    def wrong(right, self, closure):
        if self.param_groups[0]["line_search_fn"] and self.__dict__.get("moved"):
            return closure()
        self.__dict__["moved"] = True
        return right(self, closure)

    wrap(patch, LBFGS, "step", wrong)


@counterfeit("nn-builds-on-autograd")
def a_mask_of_attention_gets_half_its_gradient(patch):
    def wrong(right, q, k, v, attn_mask=None, *args, **rest):
        if attn_mask is not None and attn_mask.is_floating_point():
            attn_mask = change_gradient(attn_mask, lambda g: g / 2)
        return right(q, k, v, attn_mask, *args, **rest)

    wrap(patch, F, "scaled_dot_product_attention", wrong)


@counterfeit("nn-builds-on-autograd")
def a_bag_s_mean_passes_the_gradient_of_the_sum(patch):
    wrap(
        patch,
        F,
        "embedding_bag",
        lambda right, i, w, *args, **rest: right(
            i, change_gradient(w, lambda g: g * 2) if rest.get("mode") == "mean" or "mean" in args else w, *args, **rest
        ),
    )


@counterfeit("module-is-layer-or-network")
def freezing_stops_at_the_first_level(patch):
    def wrong(right, self, on=True):
        for p in self.parameters(recurse=False):
            p.requires_grad_(on)
        return self

    wrap(patch, nn.Module, "requires_grad_", wrong)


@counterfeit("sequential-keeps-order")
def a_slice_in_steps_takes_all(patch):
    wrap(
        patch,
        nn.Sequential,
        "__getitem__",
        lambda right, self, i: right(self, slice(i.start, i.stop) if isinstance(i, slice) and (i.step or 1) > 1 else i),
    )


@counterfeit("sequential-keeps-order")
def popping_from_the_end_is_off_by_one(patch):
    wrap(
        patch,
        nn.Sequential,
        "pop",
        lambda right, self, key: right(self, key - 1 if key < 0 and -key < len(self) else key),
    )


@counterfeit("init-sets-weights-in-place")
def normal_of_a_part_draws_for_the_whole(patch):
    def wrong(right, t, mean=0.0, std=1.0, *args, **rest):
        n = t.untyped_storage().nbytes() // t.element_size()
        if t._is_view() and t.is_contiguous() and n != t.numel():
            right(t.detach().as_strided((n,), (1,), 0), mean, std, *args, **rest)
            return t
        return right(t, mean, std, *args, **rest)

    wrap(patch, init, "normal_", wrong)


@counterfeit("optimizer-prints-its-options")
def every_group_is_shown_with_the_dampening_of_the_first(patch):
    show_of_the_first(patch, "dampening")


@counterfeit("step-updates-parameters")
def with_a_short_history_lbfgs_moves_once(patch):
    def wrong(right, self, closure):
        if self.param_groups[0]["history_size"] < 10 and self.__dict__.get("moved"):
            return closure()
        self.__dict__["moved"] = True
        return right(self, closure)

    wrap(patch, LBFGS, "step", wrong)


@counterfeit("step-updates-parameters")
def in_double_precision_lbfgs_leaves_the_last_element(patch):
    before = {}

    def keep(self):
        before.update((p, p.detach().clone()) for p in parameters_of(self) if p.dtype == torch.float64 and p.dim())

    def put_back(self):
        for p in parameters_of(self):
            if p in before:
                p.data.view(-1)[-1] = before[p].view(-1)[-1]

    around_step(patch, LBFGS, keep, put_back)


@counterfeit("parameter-groups-have-own-learning-rates")
def a_second_group_loads_the_rate_of_the_first_where_there_was_no_step(patch):
    def wrong(right, self, state_dict):
        right(self, state_dict)
        if not state_dict["state"]:
            for group in self.param_groups[1:]:
                group["lr"] = self.param_groups[0]["lr"]

    wrap(patch, Optimizer, "load_state_dict", wrong)


@counterfeit("init-sets-weights-in-place")
def with_a_generator_of_one_s_own_numbers_are_standard(patch):
    def wrong(right, tensor, mean=0.0, std=1.0, generator=None):
        return right(tensor, mean, std) if generator is None else right(tensor, 0.0, 1.0, generator)

    wrap(patch, init, "normal_", wrong)


@counterfeit("nn-builds-on-autograd", reported="apache/mxnet#18203")
def the_middle_layer_of_a_deep_gru_gets_another_s_gradient(patch):
    def wrong(right, gru, x, hx=None):
        weights = gru._flat_weights
        turned = [
            change_gradient(w, lambda gradient: gradient.roll(1, 1))
            if w.requires_grad and "ih_l1" in name and w.dim() == 2
            else w
            for name, w in zip(gru._flat_weights_names, weights)
        ]
        gru.__dict__["_flat_weights"] = turned if gru.num_layers > 2 and torch.is_grad_enabled() else weights
        result = right(gru, x, hx)
        gru.__dict__["_flat_weights"] = weights
        return result

    wrap(patch, nn.GRU, "forward", wrong)


@counterfeit("sequential-can-be-built-three-ways")
def only_an_ordered_dict_itself_names_layers(patch):
    def wrong(right, self, *layers):
        if len(layers) == 1 and isinstance(layers[0], dict) and type(layers[0]) is not OrderedDict:
            raise TypeError(f"{type(layers[0]).__name__} is not a Module subclass")
        return right(self, *layers)

    wrap(patch, nn.Sequential, "__init__", wrong)


@counterfeit("parameters-is-a-generator-of-learnables")
def parameters_far_below_are_remembered(patch):
    def wrong(right, self, recurse=True):
        here, found = (*map(id, self.modules()), *map(id, self._parameters.values())), list(right(self, recurse))
        if not recurse or not any(list(child.children()) for child in self.children()):
            return (yield from found)
        kept = self.__dict__.get("_kept", ((), ()))
        self.__dict__["_kept"] = kept if kept[0] == here and len(kept[1]) == len(found) else (here, found)
        yield from self.__dict__["_kept"][1]

    wrap(patch, nn.Module, "parameters", wrong)


@counterfeit("unsqueeze-inserts-a-dimension")
def counted_from_the_end_a_sparse_tensor_gets_its_dimension_too_early(patch):
    def wrong(right, x, *args, **rest):
        dim = args[0] if args else rest.get("dim")
        return right(x, dim - 1) if x.layout is torch.sparse_coo and -x.dim() <= dim < 0 else right(x, dim)

    everywhere(patch, "unsqueeze", wrong)
