# ConvNeXt-T, 13x13 cells: its last patches are 2x2 and overlap with stride 1. last_stride=2 gives 7x7 cells.
_base_ = [
    '../../_base_/models/pgan_r50.py',
    '../../_base_/datasets/veri776_224x224.py',
    '../../_base_/schedules/adamw_120e.py',
    '../../_base_/default_runtime.py',
]

part_cache = 'data/VeRi_parts'  # written by tools/extract_parts.py
num_parts = 8
model = dict(backbone=dict(name='convnext_tiny', last_stride=1))
