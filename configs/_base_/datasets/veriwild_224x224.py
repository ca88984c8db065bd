# VERI-Wild: images/ and train_test_split/ with vehicle_info.txt, which lists the cameras.
_base_ = './veri776_224x224.py'

data_root = 'data/VERI-Wild'
test_size = 3000  # vehicles of the test lists: 3000 (small), 5000 (medium) or 10000 (large)
train_dataloader = dict(dataset=dict(type='VERIWild'))
test_dataloader = dict(dataset=dict(type='VERIWild'))
val_dataloader = test_dataloader
