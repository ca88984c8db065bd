# Figure 7: VGG-M, 13x13 cells, from random weights: those released are Caffe's. For weights of yours:
# model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=FILE
_base_ = '../pgan_r50_1xb64-130e_veri776-224x224.py'

model = dict(backbone=dict(_delete_=True, type='VGGM'))
