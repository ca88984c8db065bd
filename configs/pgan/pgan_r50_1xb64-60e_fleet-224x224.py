# A larger synthetic fleet, for a GPU, from random weights: configs/study/fleet_gpu.py. The rate and the schedule
# are chosen here, since the release's start from ImageNet's weights.
_base_ = './pgan_r50_1xb64-130e_veri776-224x224.py'

data_root = 'data/fleet_256'
part_cache = 'data/fleet_256_parts'
model = dict(backbone=dict(weights=None))
metainfo = dict(dataset='synthetic fleet', protocol='cross-camera')
train_dataloader = dict(dataset=dict(metainfo=metainfo))
test_dataloader = dict(dataset=dict(metainfo=metainfo))
val_dataloader = test_dataloader

max_epochs = 60
train_cfg = dict(max_epochs=max_epochs, val_begin=max_epochs + 1)  # tested once, afterwards
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=5),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=5, end=max_epochs, eta_min_ratio=0.01),
]
