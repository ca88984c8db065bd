"""mmengine's runner, which trains from a checkpoint that fits or says why it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.runner import CheckpointLoader, Runner
from torch import nn

from detector.common.checkpoint import describe_mismatches, mismatches, weights_of
from detector.common.schema import COUNT, SchemaError, check, fits
from pgan.engine.checkpoint import CheckpointError
from pgan.engine.wrappers import bare_model

# Of a training, for a resume; what else it holds is left to mmengine.
_TRAINING = {"meta": {"epoch": COUNT, "iter": COUNT}, "message_hub": {"log_scalars": {}}}
_ADDED = {"params", "initial_lr"}  # to a group's own settings
_OPTIMIZER = "optimizer_name"  # in a checkpoint's meta
_COUNTER = "num_batches_tracked"  # has the same shape in every model


class CheckedRunner(Runner):
    """A runner that does not train from random weights when it was told to start from others.

    mmengine loads what fits, be it nothing, and meets a checkpoint of another training halfway.
    """

    def train(self) -> nn.Module:
        """Look at the checkpoint before anything is built, and train.

        Raises:
            CheckpointError: No tensor of it is the model's; or, for a resume, not all are, or it is none of a
                training.
        """
        if self._load_from:
            checkpoint = CheckpointLoader.load_checkpoint(self._load_from, map_location="cpu")
            if self._resume:
                self._refuse_other_training(checkpoint)
                self._take_seed(checkpoint["meta"])
            else:
                self._tell_what_fits(checkpoint)
        return super().train()

    def _take_seed(self, meta: Mapping[str, Any]) -> None:
        """Go on with the checkpoint's seed: mmengine takes it after the sampler was built with another."""
        seed, stated = meta.get("seed"), self._randomness_cfg.get("seed")
        if not fits(seed, range(2**32)) or seed == stated:
            return
        if stated is not None:
            self.logger.warning(
                f"{self._load_from}: seed {seed} goes on, not the config's {stated}"
            )
        self._randomness_cfg["seed"] = seed
        self.set_randomness(**self._randomness_cfg)

    def load_or_resume(self) -> None:
        """Load the checkpoint.

        Raises:
            CheckpointError: Something in it is not what mmengine, or a hook, expects there.
        """
        try:
            super().load_or_resume()
        except CheckpointError:
            raise
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            reason = " ".join([f"{type(error).__name__}:", *str(error).splitlines()[:1]])
            raise CheckpointError(
                f"{self._load_from}: is not a checkpoint of this training ({reason}); "
                "go on with the config that it was trained with, or start from its weights with --load-from"
            ) from error

    def save_checkpoint(
        self, *args: Any, meta: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Save, with the name of the optimizer."""
        optimizer = getattr(self.optim_wrapper, "optimizer", None)
        named = {} if optimizer is None else {_OPTIMIZER: type(optimizer).__name__}
        super().save_checkpoint(*args, meta={**(meta or {}), **named}, **kwargs)

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load the weights.

        Raises:
            CheckpointError: For a resume, its optimizer has other settings than the config's has.
        """
        checkpoint = super().load_checkpoint(filename, *args, **kwargs)
        if self._resume:
            self._refuse_other_optimizer(checkpoint)
            self._report_overridden_settings(checkpoint)
        return checkpoint

    def _mismatches(self, checkpoint: Mapping[str, Any]) -> dict[str, list[str]]:
        return mismatches(bare_model(self.model).state_dict(), weights_of(checkpoint))

    def _refuse_other_training(self, checkpoint: Mapping[str, Any]) -> None:
        try:
            check(checkpoint, _TRAINING)
        except SchemaError as error:
            raise CheckpointError(
                f"{self._load_from}: holds weights, and not how far a training run was ({error}): start from "
                "them with --load-from, without --resume"
            ) from None
        if found := self._mismatches(checkpoint):
            raise CheckpointError(
                f"{self._load_from}: is of another model than the config: {describe_mismatches(found)}. "
                "Resume with the config that it was trained with, or train in another folder, --work-dir"
            )

    def _refuse_other_optimizer(self, checkpoint: Mapping[str, Any]) -> None:
        optimizer = getattr(self.optim_wrapper, "optimizer", None)
        saved = checkpoint.get("optimizer")
        if optimizer is None or saved is None or not fits(saved, {"param_groups": [{}]}):
            return
        name = type(optimizer).__name__
        trained_by = checkpoint["meta"].get(_OPTIMIZER)  # checkpoints of older versions do not tell
        for group in saved["param_groups"]:
            unknown = group.keys() - optimizer.defaults.keys() - _ADDED
            # A version of torch may add a setting; another optimizer has others.
            if trained_by not in (None, name) or (
                unknown and optimizer.defaults.keys() - group.keys()
            ):
                raise CheckpointError(
                    f"{self._load_from}: was trained by another optimizer "
                    f"({trained_by or 'its settings'}) than the config's {name}: go on with the config that "
                    "it was trained with, or start from its weights with --load-from"
                )

    def _report_overridden_settings(self, checkpoint: Mapping[str, Any]) -> None:
        """Warn of a setting of the config's optimizer that the checkpoint overrides."""
        optimizer = getattr(self.optim_wrapper, "optimizer", None)
        saved = checkpoint.get("optimizer")
        if optimizer is None or saved is None or not fits(saved, {"param_groups": [{}]}):
            return
        for group, stated in zip(saved["param_groups"], optimizer.param_groups):
            for key in ("initial_lr", "weight_decay"):
                if key in group and key in stated and group[key] != stated[key]:
                    self.logger.warning(
                        f"{self._load_from}: {key}={group[key]} goes on, not the config's {stated[key]}: "
                        "start from its weights with --load-from to change it"
                    )
                    return

    def _tell_what_fits(self, checkpoint: Mapping[str, Any]) -> None:
        names = {
            name for name in bare_model(self.model).state_dict() if not name.endswith(_COUNTER)
        }
        found = self._mismatches(checkpoint)
        unfit = names & set().union(*found.values())
        if unfit == names:
            raise CheckpointError(
                f"{self._load_from}: no tensor of it fits the config's model: {describe_mismatches(found)}. "
                "Give a checkpoint of such a model"
            )
        if unfit:
            self.logger.warning(
                f"{self._load_from}: {len(names) - len(unfit)} of the model's {len(names)} tensors are "
                f"loaded; {describe_mismatches(found)}"
            )
