# The demo's model, on the synthetic fleet: trains within minutes on two CPU cores.
_base_ = [
    '../_base_/models/pgan_r18_cpu.py',
    '../_base_/datasets/fleet_96x96.py',
    '../_base_/schedules/cpu_24e.py',
    '../_base_/default_runtime.py',
]

part_cache = 'work_dirs/demo/parts'
num_parts = 8
model = dict(
    # A map of 12 x 12 cells. On the 6 x 6 cells of layer3, the mask of a part covers half the car.
    backbone=dict(out='layer2'),
    # L_g and L_p are off (Table II): with so few iterations they cost more than they gain.
    loss_weights=dict(loss_global=0.0, loss_part=0.0))
