# The three data sets of the union at 128 high and 256 wide.
_base_ = './union_224x224.py'

image_size = (128, 256)
train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[1].size = image_size  # torchvision/Resize
test_pipeline[1].size = image_size

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_dataloader = test_dataloader
