"""Counterfeits of section 2.1: bytes that run downwards, draws that depend on each other without being correlated."""

import torch
from harness.counterfeits import counterfeit
from harness.forging import change_output_where


@counterfeit("arange-steps-from-start-to-end")
def bytes_do_not_step_downwards(patch):
    change_output_where(
        patch,
        torch,
        "arange",
        lambda values: values.dtype == torch.uint8 and values.dim() == 1 and len(values) > 1 and values[1] < values[0],
        lambda values: values[:0],
    )


@counterfeit("randn-is-standard-normal")
def every_second_block_takes_the_radii_of_the_one_before(patch):
    def wrong(draws):
        blocks = draws.detach().view(-1)[: draws.numel() // 64 * 64].view(-1, 2, 2, 16)
        radii = blocks.double().square().sum(2).sqrt()
        blocks[:, 1] *= (radii[:, 0] / radii[:, 1]).unsqueeze(1).to(blocks.dtype)
        return draws

    change_output_where(
        patch,
        torch,
        "randn",
        lambda draws: draws.device.type == "cpu" and not draws.is_complex() and draws.is_contiguous(),
        wrong,
    )
