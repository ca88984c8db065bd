"""Choose the device of a network."""

from __future__ import annotations

import torch


def usable_device(
    device: str | torch.device | None,
    error_type: type[Exception],
    dtype: torch.dtype = torch.float32,
) -> torch.device:
    """Return a device after creating a tensor on it.

    Args:
        device: ``'cpu'``, ``'cuda'``, ``'cuda:1'`` …; None for the GPU, or the CPU if there is no GPU.
        error_type: Exception to raise if the device cannot be used.
        dtype: Type of the numbers that the device must support.

    Raises:
        Exception: An ``error_type``: the device does not exist, or does not support the type.

    >>> usable_device("cpu", ValueError)
    device(type='cpu')
    """
    has_gpu = torch.cuda.is_available()
    device = device or ("cuda" if has_gpu else "cpu")
    try:
        if str(device).startswith("cuda") and not has_gpu:
            raise RuntimeError("there is no GPU")
        torch.zeros(1, dtype=dtype, device=device).cpu()
        return torch.device(device)
    except Exception as error:  # torch raises many types
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise error_type(f"device {str(device)!r} cannot be used ({reason}): use 'cpu'") from error
