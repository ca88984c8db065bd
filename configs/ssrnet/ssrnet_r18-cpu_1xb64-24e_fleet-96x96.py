# On the synthetic fleet, with the data, batches, schedule and map size of the demo's PGAN and baseline.
_base_ = [
    '../_base_/models/ssrnet_r18_cpu.py',
    '../_base_/datasets/fleet_96x96.py',
    '../_base_/schedules/cpu_24e.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(out='layer2'))  # 12 x 12 cells
