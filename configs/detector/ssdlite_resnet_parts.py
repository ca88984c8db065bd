# Small to train and to run: learns from a few hundred photographs on a CPU, at 256 x 256.
_base_ = ['_base_/ssd300_vgg16.py', '_base_/parts_voc.py', '_base_/runtime.py']

norm_cfg = dict(type='BN', momentum=0.1)
model = dict(
    data_preprocessor=dict(std=[58.395, 57.12, 57.375]),
    # ResNet-18 with a quarter of its width, strides 8, 16 and 32.
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=18,
        base_channels=16,
        stem_channels=16,
        out_indices=(1, 2, 3),
        norm_cfg=norm_cfg,
        norm_eval=False,
        init_cfg=[
            dict(type='Kaiming', layer='Conv2d'),
            dict(type='Constant', val=1, layer='BatchNorm2d')]),
    # Gives the level of stride 8, which finds most parts, a view of the whole vehicle.
    neck=dict(
        _delete_=True,
        type='FPN',
        in_channels=[32, 64, 128],
        out_channels=48,
        num_outs=3,
        norm_cfg=norm_cfg),
    bbox_head=dict(
        in_channels=(48, 48, 48),
        use_depthwise=True,
        norm_cfg=norm_cfg,
        act_cfg=dict(type='ReLU'),
        init_cfg=dict(type='Normal', layer='Conv2d', std=0.01),
        anchor_generator=dict(
            _delete_=True,
            type='SSDAnchorGenerator',
            scale_major=False,
            strides=[8, 16, 32],
            ratios=[[2, 3], [2, 3], [2, 3]],
            min_sizes=[18, 42, 110],
            max_sizes=[42, 110, 220])))

train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[2].ratio_range = (1, 2)  # Expand less, because parts are small already
train_pipeline[4].scale = test_pipeline[1].scale = (256, 256)  # Resize
train_dataloader = dict(batch_size=16, num_workers=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=2, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100, val_interval=20)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=3e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=10, norm_type=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, T_max=100, end=100, eta_min=3e-5)]
default_hooks = dict(logger=dict(interval=10))
