# The demo's synthetic fleet, in VeRi-776's layout: tools/make_fleet.py data/demo_fleet --size 128 ...
_base_ = './fleet_224x224.py'

data_root = 'data/demo_fleet'
image_size = (96, 96)
train_dataloader = dict(num_workers=1)
test_dataloader = dict(num_workers=1)
val_dataloader = test_dataloader
