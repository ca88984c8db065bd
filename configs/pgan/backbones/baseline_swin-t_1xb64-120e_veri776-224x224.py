# Swin-T, whole, 7x7 cells. out='5' stops before its last stage: 384 channels of 14x14 cells, finer masks.
_base_ = [
    '../../_base_/models/baseline_r50.py',
    '../../_base_/datasets/veri776_224x224.py',
    '../../_base_/schedules/adamw_120e.py',
    '../../_base_/default_runtime.py',
]

model = dict(backbone=dict(name='swin_t', last_stride=2))
