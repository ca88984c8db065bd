# From random weights, on a GPU, for configs/study/fleet_gpu.py.
_base_ = [
    '../_base_/models/pgan_r50.py',
    '../_base_/datasets/fleet_224x224.py',
    '../_base_/schedules/adam_60e.py',
    '../_base_/default_runtime.py',
]

part_cache = 'data/fleet_256_parts'
num_parts = 8  # as on VeRi-776
model = dict(backbone=dict(weights=None))
