_base_ = [
    '../_base_/models/pgan_r50.py',
    '../_base_/datasets/folders_224x224.py',
    '../_base_/schedules/adam_130e.py',
    '../_base_/default_runtime.py',
]

part_cache = 'data/my_folders_parts'  # written by tools/extract_parts.py
num_parts = 8
