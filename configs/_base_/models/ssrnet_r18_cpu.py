# A network that a CPU trains from random weights: ResNet-18 up to layer3.
_base_ = './ssrnet_r50.py'

model = dict(
    backbone=dict(name='resnet18', out='layer3', last_stride=2, weights=None),
    graph=dict(out_channels=128, hidden_channels=128),  # half of a branch's channels; a quarter in the paper
    channels_last=True)
