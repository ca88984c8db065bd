# Figure 7: VGG-M, 13x13 cells, from random weights, because the released ones are for Caffe. To use your own weights:
# model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=FILE
_base_ = '../pgan_r50_1xb64-130e_veri776-224x224.py'

model = dict(backbone=dict(_delete_=True, type='VGGM'))
