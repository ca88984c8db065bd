# The demo's, on the synthetic fleet: made to finish within minutes on two CPU cores.
_base_ = [
    '../_base_/models/pgan_r18_cpu.py',
    '../_base_/datasets/fleet_128x128.py',
    '../_base_/schedules/cpu_30e.py',
    '../_base_/default_runtime.py',
]

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=1,
         convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=1, end=max_epochs, eta_min_ratio=0.01),
]

part_cache = 'work_dirs/demo/parts'
num_parts = 8
