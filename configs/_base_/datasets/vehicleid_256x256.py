# VehicleID at 256x256.
_base_ = './vehicleid_224x224.py'

image_size = (256, 256)
train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[1].size = image_size  # torchvision/Resize
test_pipeline[1].size = image_size

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_dataloader = test_dataloader
