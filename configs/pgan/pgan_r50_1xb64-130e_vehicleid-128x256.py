_base_ = [
    '../_base_/models/pgan_r50.py',
    '../_base_/datasets/vehicleid_128x256.py',
    '../_base_/schedules/adam_130e.py',
    '../_base_/default_runtime.py',
]

part_cache = 'data/VehicleID_parts'  # written by tools/extract_parts.py
num_parts = 8
model = dict(loss_weights=dict(loss_id=1.0))  # lambda of the authors' release on VehicleID
