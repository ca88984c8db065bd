# DINOv2 ViT-S/14, 16x16 cells. timm downloads the weights (Apache-2.0), or backbone.weights=FILE.
_base_ = [
    '../../_base_/models/baseline_r50.py',
    '../../_base_/datasets/veri776_224x224.py',
    '../../_base_/schedules/adamw_layerdecay_60e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True, type='TimmBackbone', name='vit_small_patch14_dinov2', weights='lvd142m',
        img_size=(224, 224), options=dict(drop_path_rate=0.1)),
    label_smoothing=0.1)
