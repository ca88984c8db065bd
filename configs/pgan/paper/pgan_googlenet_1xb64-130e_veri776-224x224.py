# Figure 7: complete GoogLeNet. Its last downsampling is a pooling, so it has 7x7 cells. The paper does not state which
# map it uses; out='inception4e', 832 channels of 14x14 cells, is the other choice.
_base_ = '../pgan_r50_1xb64-130e_veri776-224x224.py'

model = dict(backbone=dict(name='googlenet', out='inception5b', last_stride=2))

# torchvision's weights of GoogLeNet expect pixels from -1 to 1.
normalize = dict(type='torchvision/Normalize', mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
train_pipeline, test_pipeline = (
    [normalize if step['type'] == normalize['type'] else step for step in pipeline]
    for pipeline in (_base_.train_pipeline, _base_.test_pipeline))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_dataloader = test_dataloader
