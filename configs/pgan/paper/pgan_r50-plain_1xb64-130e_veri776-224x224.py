# Figure 7: ResNet-50 v1, without random erasing. The base config is v2, with it.
_base_ = '../pgan_r50_1xb64-130e_veri776-224x224.py'

train_pipeline = [
    step for step in _base_.train_pipeline if step['type'] != 'torchvision/RandomErasing']
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
