"""Make several processes train like one process with the global batch, up to rounding.

mmengine averages the gradients. Two further parts depend on the whole batch: metric losses, whose hardest
images may be in another process, and batch normalisation.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed.nn.functional as differentiable
from mmengine.dist import all_gather, broadcast, get_world_size
from mmengine.hooks import Hook
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pgan.engine.wrappers import bare_model
from pgan.registry import HOOKS


@HOOKS.register_module()
class GlobalBatchHook(Hook):
    """Compute metric losses and batch normalisation over the batches of all processes.

    The features of each process are gathered in all, and gradients flow back: with averaged gradients, as in
    mmengine, they equal those of one process with all images. All processes need batches of equal size, which
    `PKSampler` and mmengine's samplers give. All processes validate with the running statistics of the first
    one, which are the ones that are saved.

    Args:
        metric_losses: Gather the features for the model's ``metric_losses``.
        batch_norm: Synchronise batch normalisation, by torch's ``SyncBatchNorm`` on a GPU and by
            `GlobalBatchNorm` on a CPU.
    """

    def __init__(self, metric_losses: bool = True, batch_norm: bool = False) -> None:
        self.metric_losses, self.batch_norm = metric_losses, batch_norm

    def before_run(self, runner: Any) -> None:
        """Convert the model if there are several processes; its weights keep their names."""
        if get_world_size() == 1:
            return
        model = bare_model(runner.model)
        if self.metric_losses:
            for loss in getattr(model, "metric_losses", ()):
                loss.register_forward_pre_hook(_gather)
        if self.batch_norm and torch.cuda.is_available():
            nn.SyncBatchNorm.convert_sync_batchnorm(model)
        elif self.batch_norm:
            _convert(model)

    def before_val(self, runner: Any) -> None:
        """Broadcast the running statistics of the first process."""
        for buffer in bare_model(runner.model).buffers() if get_world_size() > 1 else ():
            broadcast(buffer)


def _gather(loss: nn.Module, arguments: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Gather the (B, C) features and (B,) labels of all processes, in the order of their ranks."""
    features, labels = arguments
    return torch.cat(differentiable.all_gather(features.contiguous())), torch.cat(
        all_gather(labels)
    )


class GlobalBatchNorm(_BatchNorm):
    """Batch normalisation over the batches of all processes, on any device (Ioffe & Szegedy, 2015).

    The variance is computed from differences to the global mean, which rounds less than the mean of squares.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalise (B, C, ...) float32."""
        if not self.training:
            return super().forward(inputs)
        axes = [axis for axis in range(inputs.dim()) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(inputs.dim())]
        count = inputs.numel() // inputs.shape[1] * get_world_size()
        mean = differentiable.all_reduce(inputs.sum(axes)) / count
        centred = inputs - mean.view(shape)
        variance = differentiable.all_reduce(centred.square().sum(axes)) / count
        if self.track_running_stats:
            self._track(mean.detach(), variance.detach() * count / (count - 1))
        normalised = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        batches = self.get_buffer("num_batches_tracked")
        batches += 1
        rate = self.momentum if self.momentum is not None else 1 / float(batches)
        self.get_buffer("running_mean").lerp_(mean, rate)
        self.get_buffer("running_var").lerp_(variance, rate)

    def _check_input_dim(self, inputs: Tensor) -> None:
        """Accept any number of dimensions."""


def _convert(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            new = GlobalBatchNorm(child.num_features, child.eps, child.momentum)
            new.affine, new.track_running_stats = child.affine, child.track_running_stats
            # The very parameters: the optimizer and the wrapper for several processes hold them.
            new._parameters, new._buffers = child._parameters, child._buffers
            setattr(module, name, new.train(child.training))
        else:
            _convert(child)
