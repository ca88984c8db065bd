_base_ = [
    '../_base_/models/ssrnet_r50.py',
    '../_base_/datasets/vehicleid_224x224.py',
    '../_base_/schedules/sgd_ssrnet.py',
    '../_base_/default_runtime.py',
]

image_size = (256, 256)
train_dataloader = dict(
    batch_size=32,
    sampler=dict(identities=8, images=4),
    dataset=dict(pipeline=_base_.crop_pipeline))  # flips and crops, without random erasing
