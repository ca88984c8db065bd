# For backbones with LayerNorm (ConvNeXt, Swin, ViT) that start from ImageNet weights. Their papers train with AdamW
# and a weight decay of 0.05, except for biases, norms, positional embeddings and scales. We chose the rest: a learning
# rate an order of magnitude below the papers' 1e-3, because the weights are pretrained; 10 epochs of warm-up and a
# cosine schedule; gradient clipping, because attention diverges where a ResNet does not.
_base_ = './adam_130e.py'

max_epochs = 120
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
    paramwise_cfg=dict(
        flat_decay_mult=0.0,  # biases and norms
        custom_keys={
            name: dict(decay_mult=0.0)
            for name in ('class_token', 'pos_embedding', 'relative_position_bias_table',
                         'logit_scale', 'layer_scale', 'pooling.p')
        }))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=10),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=10, end=max_epochs, eta_min_ratio=0.01),
]
