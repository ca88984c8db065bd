# The demo's, on the synthetic fleet: made to finish within minutes on two CPU cores.
_base_ = [
    '../_base_/models/pgan_r18_cpu.py',
    '../_base_/datasets/fleet_96x96.py',
    '../_base_/schedules/cpu_24e.py',
    '../_base_/default_runtime.py',
]

part_cache = 'work_dirs/demo/parts'
num_parts = 8
# L_g and L_p are off (Table II): in so few iterations they cost mAP, 48.6 with them on seed 0.
model = dict(loss_weights=dict(loss_global=0.0, loss_part=0.0))
