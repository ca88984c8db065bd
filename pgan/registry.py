"""Registries of the scope ``pgan``, children of mmengine's.

A config with ``default_scope = 'pgan'`` finds our classes here and everything else (loops, optimizers,
schedulers, hooks) in mmengine.
"""

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

DATASETS = Registry("dataset", parent=MMENGINE_DATASETS, scope="pgan", locations=["pgan.datasets"])
TRANSFORMS = Registry(
    "transform", parent=MMENGINE_TRANSFORMS, scope="pgan", locations=["pgan.datasets"]
)
DATA_SAMPLERS = Registry(
    "data sampler", parent=MMENGINE_DATA_SAMPLERS, scope="pgan", locations=["pgan.datasets"]
)
MODELS = Registry("model", parent=MMENGINE_MODELS, scope="pgan", locations=["pgan.models"])
METRICS = Registry("metric", parent=MMENGINE_METRICS, scope="pgan", locations=["pgan.evaluation"])
HOOKS = Registry("hook", parent=MMENGINE_HOOKS, scope="pgan", locations=["pgan.engine"])
FUNCTIONS = Registry("function", parent=MMENGINE_FUNCTIONS, scope="pgan", locations=["pgan.engine"])
