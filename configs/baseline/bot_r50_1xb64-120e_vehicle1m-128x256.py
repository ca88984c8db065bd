_base_ = [
    '../_base_/models/bot_r50.py',
    '../_base_/datasets/vehicle1m_224x224.py',
    '../_base_/schedules/bot_120e.py',
    '../_base_/default_runtime.py',
]

image_size = (128, 256)
