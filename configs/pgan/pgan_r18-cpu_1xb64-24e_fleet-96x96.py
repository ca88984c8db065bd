# The demo's, on the synthetic fleet: made to finish within minutes on two CPU cores.
_base_ = [
    '../_base_/models/pgan_r18_cpu.py',
    '../_base_/datasets/fleet_96x96.py',
    '../_base_/schedules/cpu_24e.py',
    '../_base_/default_runtime.py',
]

part_cache = 'work_dirs/demo/parts'
num_parts = 8
