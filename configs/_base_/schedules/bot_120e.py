# Bag of tricks (Luo et al., 2019): Adam, 10 epochs of linear warm-up, the rate divided by 10 after 40 and 70 of 120
# epochs.
_base_ = './adam_130e.py'

train_cfg = dict(max_epochs=120)
optim_wrapper = dict(optimizer=dict(lr=3.5e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=10),
    dict(type='MultiStepLR', by_epoch=True, milestones=[40, 70], gamma=0.1),
]
