# resnet50_fc256: a linear layer of 256 outputs before the neck, an eighth of the gallery's memory.
_base_ = './bot_r50.py'

model = dict(feature_dim=256)
