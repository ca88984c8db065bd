_base_ = [
    '../_base_/models/pgan_r50.py',
    '../_base_/datasets/veriwild_224x224.py',
    '../_base_/schedules/adam_130e.py',
    '../_base_/default_runtime.py',
]

part_cache = 'data/VERI-Wild_parts'  # written by tools/extract_parts.py
num_parts = 8
