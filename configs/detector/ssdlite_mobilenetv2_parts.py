# SSDLite on MobileNetV2 at 320 x 320: 3.3 M parameters, fast on a CPU.
_base_ = ['_base_/ssd300_vgg16.py', '_base_/parts_voc.py', '_base_/runtime.py']

norm_cfg = dict(type='BN', eps=0.001, momentum=0.03)
model = dict(
    data_preprocessor=dict(std=[58.395, 57.12, 57.375]),
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        out_indices=(4, 7),
        norm_cfg=norm_cfg,
        # Random weights. To start from ImageNet weights, pass a local file
        # (https://download.openmmlab.com/mmclassification/v0/mobilenet_v2/
        # mobilenet_v2_batch256_imagenet_20200708-3b2dc3af.pth):
        #   --cfg-options model.backbone.init_cfg._delete_=True \
        #                 model.backbone.init_cfg.type=Pretrained \
        #                 model.backbone.init_cfg.prefix=backbone. \
        #                 model.backbone.init_cfg.checkpoint=mobilenet_v2_batch256_...pth
        init_cfg=dict(type='TruncNormal', layer='Conv2d', std=0.03)),
    neck=dict(
        _delete_=True,
        type='SSDNeck',
        in_channels=(96, 1280),
        out_channels=(96, 1280, 512, 256, 256, 128),
        level_strides=(2, 2, 2, 2),
        level_paddings=(1, 1, 1, 1),
        l2_norm_scale=None,
        use_depthwise=True,
        norm_cfg=norm_cfg,
        act_cfg=dict(type='ReLU6'),
        init_cfg=dict(type='TruncNormal', layer='Conv2d', std=0.03)),
    bbox_head=dict(
        in_channels=(96, 1280, 512, 256, 256, 128),
        use_depthwise=True,
        norm_cfg=norm_cfg,
        act_cfg=dict(type='ReLU6'),
        init_cfg=dict(type='Normal', layer='Conv2d', std=0.001),
        anchor_generator=dict(
            _delete_=True,
            type='SSDAnchorGenerator',
            scale_major=False,
            strides=[16, 32, 64, 107, 160, 320],
            ratios=[[2, 3], [2, 3], [2, 3], [2, 3], [2, 3], [2, 3]],
            # Parts are smaller than the objects of COCO, so the first levels start lower.
            min_sizes=[24, 64, 120, 180, 240, 300],
            max_sizes=[64, 120, 180, 240, 300, 320])))

train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[2].ratio_range = (1, 2)  # Expand less, because parts are small already
train_pipeline[4].scale = test_pipeline[1].scale = (320, 320)  # Resize
train_dataloader = dict(batch_size=24, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=120, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.015, momentum=0.9, weight_decay=4e-5))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=300),
    dict(
        type='CosineAnnealingLR', begin=0, T_max=120, end=120, by_epoch=True, eta_min=0)]
