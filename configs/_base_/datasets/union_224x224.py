# Three data sets to train on, 995,695 images of 63,740 vehicles; VehicleID to test on.
_base_ = './vehicleid_224x224.py'

# What a member does not state is the test set's: data_root and part_cache of VehicleID.
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ReIDUnion',
        pipeline=_base_.train_pipeline,
        datasets=[
            dict(type='VehicleID'),
            dict(type='Vehicle1M', data_root='data/Vehicle-1M'),
            dict(type='VeRi776', data_root='data/VeRi'),
        ]))
