# Complete Swin-T, 7x7 cells. out='5' stops before the last stage: 384 channels, 14x14 cells, finer masks.
_base_ = './pgan_convnext-t_1xb64-120e_veri776-224x224.py'

model = dict(backbone=dict(name='swin_t', last_stride=2))
