# SSR-Net's paper: SGD, 5 epochs of warm-up, a cosine from epoch 15. It is silent on momentum, on the number of
# epochs and on the rates at both ends; those are chosen here.
# Its rate of 1e-4 trains, and slowly. Tried on the small fleet from random weights, ResNet-18's layer2 at 64 x 64,
# batches of 8 x 4, one seed, 6 epochs (198 steps; one of warm-up, no cosine), SGD as below, mAP 5.8 before training:
# with 1e-4 the mAP was 10.9, the cross-entropy of the three branches 13.4 (chance: 13.5); with 1e-3, 14.8 and 11.9;
# with 1e-2, 18.8 and 9.1. Not tried: ImageNet's weights on VeRi-776, from which this schedule starts, with 36
# times the steps an epoch. Where the loss stays at chance: optim_wrapper.optimizer.lr=0.01.
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
