# For random weights on a GPU: a cosine schedule and a higher rate than the release's, which starts from ImageNet
# weights. Tested once, after training. These values are our choice.
_base_ = './adam_130e.py'

max_epochs = 60
train_cfg = dict(max_epochs=max_epochs, val_begin=max_epochs + 1)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=5),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=5, end=max_epochs, eta_min_ratio=0.01),
]
