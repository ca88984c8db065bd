# Trained on VehicleID, on Vehicle-1M, and on both with VeRi-776, as practitioners do; all at 128 x 256, tested on every
# list of VehicleID and Vehicle-1M.
title = 'Trained on VehicleID, Vehicle-1M and a union, tested on every list'

# Name -> config, or dict(config=..., KEY=VALUE).
models = {
    'bot_r50 VehicleID': 'configs/baseline/bot_r50_1xb64-120e_vehicleid-128x256.py',
    'bot_r50 Vehicle-1M': 'configs/baseline/bot_r50_1xb64-120e_vehicle1m-128x256.py',
    'bot_r50 union': 'configs/baseline/bot_r50_1xb64-120e_union-128x256.py',
    'fc256_r50 VehicleID': 'configs/baseline/fc256_r50_1xb64-120e_vehicleid-128x256.py',
    'fc256_r50 Vehicle-1M': 'configs/baseline/fc256_r50_1xb64-120e_vehicle1m-128x256.py',
    'fc256_r50 union': 'configs/baseline/fc256_r50_1xb64-120e_union-128x256.py',
    'PGAN VehicleID': 'configs/pgan/pgan_r50_1xb64-130e_vehicleid-128x256.py',
    'PGAN Vehicle-1M': 'configs/pgan/pgan_r50_1xb64-130e_vehicle1m-128x256.py',
    'PGAN union': 'configs/pgan/pgan_r50_1xb64-130e_union-128x256.py',
}
options = dict()  # config keys to change in all models

# A test set's config gives its images, part cache and protocol.
_vehicleid = 'configs/pgan/pgan_r50_1xb64-130e_vehicleid-128x256.py'
_vehicle1m = 'configs/pgan/pgan_r50_1xb64-130e_vehicle1m-128x256.py'
tests = {
    **{f'VehicleID {size}': dict(config=_vehicleid, test_size=size)
       for size in (800, 1600, 2400, 3200, 6000, 13164)},
    **{f'Vehicle-1M {size}': dict(config=_vehicle1m, test_size=size)
       for size in (1000, 2000, 3000, 5527)},
}
metrics = ['mAP', 'Rank-1', 'Rank-5', 'Rank-10', 'Rank-20']
