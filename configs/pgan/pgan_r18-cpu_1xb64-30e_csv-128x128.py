# For a CPU and a few thousand images: a small network from random weights.
_base_ = [
    '../_base_/models/pgan_r18_cpu.py',
    '../_base_/datasets/csv_128x128.py',
    '../_base_/schedules/cpu_30e.py',
    '../_base_/default_runtime.py',
]

part_cache = 'data/my_vehicles_parts'  # written by tools/extract_parts.py
num_parts = 8
