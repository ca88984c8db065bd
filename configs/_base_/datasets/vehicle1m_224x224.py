# Vehicle-1M: image/ and train-test-split/; no cameras, so no image is junk.
_base_ = './veri776_224x224.py'

data_root = 'data/Vehicle-1M'
test_size = 1000  # vehicles of the test list: 1000, 2000, 3000 or 5527
train_dataloader = dict(dataset=dict(type='Vehicle1M'))
test_dataloader = dict(dataset=dict(type='Vehicle1M'))
val_dataloader = test_dataloader
