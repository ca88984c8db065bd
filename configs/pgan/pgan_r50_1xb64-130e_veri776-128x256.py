_base_ = [
    '../_base_/models/pgan_r50.py',
    '../_base_/datasets/veri776_128x256.py',
    '../_base_/schedules/adam_130e.py',
    '../_base_/default_runtime.py',
]

part_cache = 'data/VeRi_parts'  # written by tools/extract_parts.py
num_parts = 8  # D of the authors' release; the paper's Tables IV and V go from 4 to 12
