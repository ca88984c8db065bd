_base_ = [
    '../_base_/models/baseline_r50.py',
    '../_base_/datasets/vric_224x224.py',
    '../_base_/schedules/adam_130e.py',
    '../_base_/default_runtime.py',
]
