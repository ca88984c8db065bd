_base_ = [
    '../_base_/models/pgan_r50.py',
    '../_base_/datasets/union_128x256.py',
    '../_base_/schedules/adam_130e.py',
    '../_base_/default_runtime.py',
]

part_cache = 'data/VehicleID_parts'  # written by tools/extract_parts.py
num_parts = 8
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(type='VehicleID'),
            dict(type='Vehicle1M', data_root='data/Vehicle-1M', part_cache='data/Vehicle-1M_parts'),
            dict(type='VeRi776', data_root='data/VeRi', part_cache='data/VeRi_parts'),
        ]))
