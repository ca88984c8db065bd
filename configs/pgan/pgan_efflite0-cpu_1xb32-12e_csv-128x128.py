# For a CPU and a few hundred vehicles: a small network from ImageNet weights, which `make setup` installs.
_base_ = [
    '../_base_/models/pgan_efflite0_cpu.py',
    '../_base_/datasets/csv_128x128.py',
    '../_base_/schedules/finetune_cpu_12e.py',
    '../_base_/default_runtime.py',
]

# Two images of each vehicle, as data of two cameras has them, and small batches, since the data is small.
train_dataloader = dict(batch_size=32, sampler=dict(identities=16, images=2))
part_cache = 'data/my_vehicles_parts'  # written by tools/extract_parts.py
num_parts = 8
