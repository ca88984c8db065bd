# The SSR-Net paper: SGD, 5 epochs of warm-up, a cosine schedule from epoch 15. It does not state the momentum, the
# number of epochs, or the rates at both ends; we chose those.
# The paper's rate of 1e-4 trains slowly: docs/ssrnet.md has a trial on the small fleet. If the loss stays at chance,
# try optim_wrapper.optimizer.lr=0.01.
max_epochs = 120
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=10)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=1e-4, momentum=0.9, weight_decay=5e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=5,
         convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=15, end=max_epochs, eta_min_ratio=0.01,
         convert_to_iter_based=True),
]
