# The authors' release: Adam, 10 epochs of linear warm-up, the rate halved six times, 130 epochs.
# (The paper halves the rate every 20 epochs and does not mention warm-up.)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=130, val_interval=10)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1.75e-4, weight_decay=5e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=10),
    dict(type='MultiStepLR', by_epoch=True, milestones=[30, 50, 70, 90, 110, 130], gamma=0.5),
]
