# Trains on three data sets, 995,695 images of 63,740 vehicles; tests on VehicleID.
_base_ = './vehicleid_224x224.py'

# A member without data_root and part_cache uses those of the test set, VehicleID.
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
