# VehicleID: image/ and train_test_split/; no cameras, so no image is junk.
_base_ = './veri776_224x224.py'

data_root = 'data/VehicleID'
test_size = 800  # vehicles of the test list: 800, 1600, 2400, 3200, 6000 or 13164
train_dataloader = dict(dataset=dict(type='VehicleID'))
test_dataloader = dict(dataset=dict(type='VehicleID'))
val_dataloader = test_dataloader
