_base_ = [
    '../_base_/models/ssrnet_r50.py',
    '../_base_/datasets/vehicleid_256x256.py',
    '../_base_/schedules/sgd_ssrnet.py',
    '../_base_/default_runtime.py',
]

# Flips and crops, as the paper has them, and no random erasing. Of a border of 10 pixels: chosen here.
train_pipeline = _base_.train_pipeline
train_pipeline[5:6] = [dict(type='torchvision/Pad', padding=10),
                       dict(type='torchvision/RandomCrop', size=_base_.image_size)]
train_dataloader = dict(
    batch_size=32,
    sampler=dict(identities=8, images=4),
    dataset=dict(pipeline=train_pipeline))
