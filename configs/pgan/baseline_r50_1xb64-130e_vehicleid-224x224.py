_base_ = [
    '../_base_/models/baseline_r50.py',
    '../_base_/datasets/vehicleid_224x224.py',
    '../_base_/schedules/adam_130e.py',
    '../_base_/default_runtime.py',
]

model = dict(loss_weights=dict(loss_id=1.0))  # lambda of the authors' release on VehicleID
