_base_ = [
    '../_base_/models/pgan_r50.py',
    '../_base_/datasets/vehicle1m_128x256.py',
    '../_base_/schedules/adam_130e.py',
    '../_base_/default_runtime.py',
]

part_cache = 'data/Vehicle-1M_parts'  # written by tools/extract_parts.py
num_parts = 8
