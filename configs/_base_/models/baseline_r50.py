# The global branch of PGAN alone, with the same feature dimension.
model = dict(
    type='Baseline',
    backbone=dict(
        type='TorchvisionBackbone',
        name='resnet50',
        last_stride=1,
        weights='IMAGENET1K_V1'),
    feature_dim=512,
    num_vehicles=None,  # counted in the training split
    loss_weights=dict(loss_id=2.0, loss_global=1.0),
    metric_losses=[dict(type='BatchHardTripletLoss', margin=0.3)])
