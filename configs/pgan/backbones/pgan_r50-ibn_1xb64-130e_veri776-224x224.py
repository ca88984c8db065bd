# ResNet-50-IBN-a, 14x14 cells. torchvision has no weights for it; download the authors' file:
# https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet50_ibn_a-d9d0bb7b.pth
_base_ = '../pgan_r50_1xb64-130e_veri776-224x224.py'

model = dict(backbone=dict(name='resnet50_ibn_a', weights='data/resnet50_ibn_a-d9d0bb7b.pth'))
