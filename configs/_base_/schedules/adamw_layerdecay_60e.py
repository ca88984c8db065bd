# For transformers from pretrained weights (TimmBackbone): AdamW, a rate that falls towards the first layers, warm-up
# and a cosine schedule, as the authors of BEiT and DINOv2 fine-tune. The values are our choice and were not tuned.
_base_ = './adamw_120e.py'

max_epochs = 60
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(
    constructor='pgan.LayerDecayConstructor',
    optimizer=dict(lr=3e-4),
    paramwise_cfg=dict(
        layer_decay=0.75,
        custom_keys={name: dict(decay_mult=0.0) for name in ('cls_token', 'reg_token', 'pos_embed')}))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=5),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=5, end=max_epochs, eta_min_ratio=0.01),
]
