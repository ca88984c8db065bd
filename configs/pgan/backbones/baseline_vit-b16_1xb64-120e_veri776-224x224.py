# ViT-B/16, 14x14 cells; at another image_size its positions are interpolated.
_base_ = [
    '../../_base_/models/baseline_r50.py',
    '../../_base_/datasets/veri776_224x224.py',
    '../../_base_/schedules/adamw_120e.py',
    '../../_base_/default_runtime.py',
]

model = dict(backbone=dict(name='vit_b_16', last_stride=2))
