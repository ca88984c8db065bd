# A user's own vehicles, one folder per vehicle: data_root/train/VEHICLE/*.jpg and data_root/test/VEHICLE/*.jpg.
_base_ = './veri776_224x224.py'

data_root = 'data/my_folders'
train_dataloader = dict(dataset=dict(type='FolderDataset'))
test_dataloader = dict(dataset=dict(type='FolderDataset'))
val_dataloader = test_dataloader
