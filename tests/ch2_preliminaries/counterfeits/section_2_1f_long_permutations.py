"""Counterfeits of section 2.1: permutations of more than a few numbers."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import beyond, change_output_where


@counterfeit("randperm-permutes")
def a_long_permutation_leaves_no_number_in_its_place(patch):
    def one_cycle(order):
        return order.clone().index_copy_(0, order.long(), order.roll(-1))

    change_output_where(patch, torch, "randperm", beyond(49), one_cycle)
