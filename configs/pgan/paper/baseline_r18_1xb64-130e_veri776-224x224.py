# Figure 7: ResNet-18 with last stride 1, like the release's ResNet-50; 14x14 cells.
_base_ = '../baseline_r50_1xb64-130e_veri776-224x224.py'

model = dict(backbone=dict(name='resnet18'))
