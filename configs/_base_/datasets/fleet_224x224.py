# A larger synthetic fleet, for a GPU, in VeRi-776's layout: tools/make_fleet.py data/fleet_256 --size 256 ...
_base_ = './veri776_224x224.py'

data_root = 'data/fleet_256'
metainfo = dict(dataset='synthetic fleet', protocol='cross-camera')
train_dataloader = dict(dataset=dict(metainfo=metainfo))
test_dataloader = dict(dataset=dict(metainfo=metainfo))
val_dataloader = test_dataloader
