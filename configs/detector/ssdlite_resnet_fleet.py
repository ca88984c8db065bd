# The demo's detector: learns the parts of the synthetic fleet from random weights in about two minutes on 2 cores.
_base_ = './ssdlite_resnet_parts.py'

data_root = 'data/demo_fleet/parts_voc'
model = dict(
    bbox_head=dict(
        anchor_generator=dict(min_sizes=[14, 32, 80], max_sizes=[32, 80, 160])))

train_pipeline = [
    dict(type='LoadVehicleImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(192, 192), keep_ratio=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')]
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (192, 192)
train_dataloader = dict(num_workers=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

max_epochs = 12  # tools/test.py tests it once, after training
train_cfg = dict(max_epochs=max_epochs, val_begin=max_epochs + 1)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR', by_epoch=True, begin=0, T_max=max_epochs, end=max_epochs,
        eta_min=3e-5)]
