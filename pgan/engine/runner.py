"""mmengine's runner with checks of the checkpoint that training starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.runner import CheckpointLoader, Runner
from torch import nn

from detector.common.checkpoint import describe_mismatches, mismatches, weights_of
from detector.common.schema import COUNT, SchemaError, check, fits
from pgan.engine.checkpoint import CheckpointError
from pgan.engine.wrappers import bare_model

# What a checkpoint needs for a resume; mmengine checks the rest.
_TRAINING = {"meta": {"epoch": COUNT, "iter": COUNT}, "message_hub": {"log_scalars": {}}}
_ADDED = {"params", "initial_lr"}  # to a group's own settings
_OPTIMIZER = "optimizer_name"  # in a checkpoint's meta
_COUNTER = "num_batches_tracked"  # has the same shape in every model


class CheckedRunner(Runner):
    """A runner that refuses a checkpoint that does not fit.

    mmengine loads the tensors that fit, even if none does, and fails late on a checkpoint of another run.
    """

    def train(self) -> nn.Module:
        """Check the checkpoint before anything is built, then train.

        Raises:
            CheckpointError: No tensor of the checkpoint fits the model; or, to resume, not all fit, or it is
                not the checkpoint of a training run.
        """
        if self._load_from:
            checkpoint = CheckpointLoader.load_checkpoint(self._load_from, map_location="cpu")
            if self._resume:
                self._refuse_other_training(checkpoint)
                self._take_seed(checkpoint["meta"])
            else:
                self._report_mismatches(checkpoint)
        return super().train()

    def _take_seed(self, meta: Mapping[str, Any]) -> None:
        """Use the checkpoint's seed: mmengine reads it after the sampler was built with another one."""
        seed, stated = meta.get("seed"), self._randomness_cfg.get("seed")
        if not fits(seed, range(2**32)) or seed == stated:
            return
        if stated is not None:
            self.logger.warning(
                f"{self._load_from}: resuming with its seed {seed}, not the config's {stated}"
            )
        self._randomness_cfg["seed"] = seed
        self.set_randomness(**self._randomness_cfg)

    def load_or_resume(self) -> None:
        """Load the checkpoint.

        Raises:
            CheckpointError: An entry is not what mmengine or a hook expects.
        """
        try:
            super().load_or_resume()
        except CheckpointError:
            raise
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            reason = " ".join([f"{type(error).__name__}:", *str(error).splitlines()[:1]])
            raise CheckpointError(
                f"{self._load_from}: is not a checkpoint of this run ({reason}): "
                "resume with the config it was trained with, or start from its weights with --load-from"
            ) from error

    def save_checkpoint(
        self, *args: Any, meta: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Save a checkpoint with the name of the optimizer."""
        optimizer = getattr(self.optim_wrapper, "optimizer", None)
        named = {} if optimizer is None else {_OPTIMIZER: type(optimizer).__name__}
        super().save_checkpoint(*args, meta={**(meta or {}), **named}, **kwargs)

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load the weights.

        Raises:
            CheckpointError: To resume, its optimizer differs from the config's.
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
                f"{self._load_from}: holds weights but no state of a training run ({error}): start from "
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
        trained_by = checkpoint["meta"].get(_OPTIMIZER)  # missing in checkpoints of older versions
        for group in saved["param_groups"]:
            unknown = group.keys() - optimizer.defaults.keys() - _ADDED
            # A newer torch may add a setting; another optimizer has different ones.
            if trained_by not in (None, name) or (
                unknown and optimizer.defaults.keys() - group.keys()
            ):
                raise CheckpointError(
                    f"{self._load_from}: was trained by another optimizer "
                    f"({trained_by or 'its settings'}) than the config's {name}: resume with the config it "
                    "was trained with, or start from its weights with --load-from"
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
                        f"{self._load_from}: resuming with {key}={group[key]}, not the config's "
                        f"{stated[key]}: start from its weights with --load-from to change it"
                    )
                    return

    def _report_mismatches(self, checkpoint: Mapping[str, Any]) -> None:
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
