# ViT-B/16, 14x14 cells. At another image_size its positional embeddings are interpolated.
_base_ = './pgan_convnext-t_1xb64-120e_veri776-224x224.py'

model = dict(backbone=dict(name='vit_b_16', last_stride=2))
