# The demo's synthetic fleet, in VeRi-776's layout: tools/make_fleet.py data/demo_fleet --size 128 ...
_base_ = './veri776_224x224.py'

data_root = 'data/demo_fleet'
image_size = (96, 96)
metainfo = dict(dataset='synthetic fleet', protocol='cross-camera')
train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[1].size = image_size  # torchvision/Resize
test_pipeline[1].size = image_size

train_dataloader = dict(num_workers=1, dataset=dict(metainfo=metainfo, pipeline=train_pipeline))
test_dataloader = dict(num_workers=1, dataset=dict(metainfo=metainfo, pipeline=test_pipeline))
val_dataloader = test_dataloader
