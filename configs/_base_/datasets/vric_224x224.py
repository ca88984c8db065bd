# VRIC: train_images/ probe_images/ gallery_images/ and their lists.
_base_ = './veri776_224x224.py'

data_root = 'data/VRIC'
train_dataloader = dict(dataset=dict(type='VRIC'))
test_dataloader = dict(dataset=dict(type='VRIC'))
val_dataloader = test_dataloader
