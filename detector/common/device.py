"""Which device a network runs on."""

from __future__ import annotations

import torch


def usable_device(
    device: str | torch.device | None,
    refusal: type[Exception],
    dtype: torch.dtype = torch.float32,
) -> torch.device:
    """A device that was tried out.

    Args:
        device: ``'cpu'``, ``'cuda'``, ``'cuda:1'`` …; None for a GPU where there is one.
        refusal: Raised when it cannot be used.
        dtype: Of the numbers that it has to hold.
    """
    found = torch.cuda.is_available()
    device = device or ("cuda" if found else "cpu")
    try:
        if str(device).startswith("cuda") and not found:
            raise RuntimeError("there is no GPU")
        torch.zeros(1, dtype=dtype, device=device).cpu()
        return torch.device(device)
    except Exception as error:  # of many kinds
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise refusal(f"device {str(device)!r} cannot be used ({reason}): use 'cpu'") from error
