# A network that a CPU trains from random weights: ResNet-18 up to layer3.
model = dict(
    type='PGAN',
    backbone=dict(
        type='TorchvisionBackbone', name='resnet18', out='layer3', last_stride=2, weights=None),
    feature_dim=256,
    attention='learned',
    temperature=10.0,
    num_vehicles=None,
    loss_weights=dict(loss_id=2.0, loss_fusion=1.0, loss_global=1.0, loss_part=1.0),
    metric_losses=[dict(type='BatchHardTripletLoss', margin=0.3)],
    channels_last=True)
