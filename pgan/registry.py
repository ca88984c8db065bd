"""Registries of the scope ``pgan``, children of mmengine's.

A config with ``default_scope = 'pgan'`` finds our classes here and everything else (loops, optimizers,
schedulers, hooks) in mmengine.
"""

from mmengine import registry as mmengine_registry
from mmengine.registry import Registry


def _child(name: str, *locations: str) -> Registry:
    parent = getattr(mmengine_registry, name)
    return Registry(parent.name, parent=parent, scope="pgan", locations=list(locations))


DATASETS = _child("DATASETS", "pgan.datasets")
TRANSFORMS = _child("TRANSFORMS", "pgan.datasets")
DATA_SAMPLERS = _child("DATA_SAMPLERS", "pgan.datasets")
MODELS = _child("MODELS", "pgan.models")
METRICS = _child("METRICS", "pgan.engine")
HOOKS = _child("HOOKS", "pgan.engine")
FUNCTIONS = _child("FUNCTIONS", "pgan.engine")
OPTIM_WRAPPER_CONSTRUCTORS = _child("OPTIM_WRAPPER_CONSTRUCTORS", "pgan.engine")

# Nothing of ours is in these; without them mmengine warns that the scope has no such registry.
for _name in (
    "EVALUATOR",
    "INFERENCERS",
    "LOG_PROCESSORS",
    "LOOPS",
    "MODEL_WRAPPERS",
    "OPTIMIZERS",
    "OPTIM_WRAPPERS",
    "PARAM_SCHEDULERS",
    "RUNNERS",
    "RUNNER_CONSTRUCTORS",
    "TASK_UTILS",
    "VISBACKENDS",
    "VISUALIZERS",
    "WEIGHT_INITIALIZERS",
):
    _child(_name)
