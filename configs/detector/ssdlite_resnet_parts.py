# The demo's network at 256 x 256 with augmentation: trains on a few hundred photographs on a CPU.
_base_ = './ssdlite_resnet_fleet.py'

data_root = 'data/parts_voc'
model = dict(
    bbox_head=dict(
        anchor_generator=dict(min_sizes=[18, 42, 110], max_sizes=[42, 110, 220])))

train_pipeline = [
    dict(type='LoadVehicleImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Expand', mean=[123.675, 116.28, 103.53], to_rgb=False, ratio_range=(1, 2)),
    dict(
        type='MinIoURandomCrop',
        min_ious=(0.1, 0.3, 0.5, 0.7, 0.9),
        min_crop_size=0.3),
    dict(type='Resize', scale=(256, 256), keep_ratio=False),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='PhotoMetricDistortion',
        brightness_delta=32,
        contrast_range=(0.5, 1.5),
        saturation_range=(0.5, 1.5),
        hue_delta=18),
    dict(type='PackDetInputs')]
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (256, 256)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100, val_interval=20)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, T_max=100, end=100, eta_min=3e-5)]
