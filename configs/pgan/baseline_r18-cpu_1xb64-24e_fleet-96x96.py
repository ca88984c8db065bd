# The demo's model, on the synthetic fleet: trains within minutes on two CPU cores.
_base_ = [
    '../_base_/models/baseline_r18_cpu.py',
    '../_base_/datasets/fleet_96x96.py',
    '../_base_/schedules/cpu_24e.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(out='layer2'))  # as for PGAN
