# A user's own vehicles: data_root/index.csv lists path, vehicle_id, camera_id (optional) and split.
_base_ = './veri776_224x224.py'

data_root = 'data/my_vehicles'
train_dataloader = dict(dataset=dict(type='CSVDataset', index='index.csv'))
test_dataloader = dict(dataset=dict(type='CSVDataset', index='index.csv'))
val_dataloader = test_dataloader
