# On the synthetic fleet, beside the demo's PGAN and its baseline: their data, batches, schedule and map.
_base_ = [
    '../_base_/models/ssrnet_r18_cpu.py',
    '../_base_/datasets/fleet_96x96.py',
    '../_base_/schedules/cpu_24e.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(out='layer2'))  # 12 x 12 cells
