# For the demo: like cpu_30e.py, but minutes on two cores; tools/test.py tests it once, after training.
_base_ = './cpu_30e.py'

max_epochs = 24
train_cfg = dict(max_epochs=max_epochs, val_begin=max_epochs + 1)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=1,
         convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=1, end=max_epochs, eta_min_ratio=0.01),
]
