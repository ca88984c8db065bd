# resnet50_fc256: a linear layer with 256 outputs before the neck; the gallery takes an eighth of the memory.
_base_ = './bot_r50.py'

model = dict(feature_dim=256)
