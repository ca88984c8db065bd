# Bag of tricks (Luo et al., 2019): last stride 1, BNNeck, label smoothing. The schedule adds warm-up, the data set
# random erasing. Center loss is not used, see pgan/models/strong_baseline.py.
model = dict(
    type='StrongBaseline',
    backbone=dict(
        type='TorchvisionBackbone',
        name='resnet50',
        last_stride=1,
        weights='IMAGENET1K_V1'),  # downloaded by torchvision; or the path of a local file
    feature_dim=None,  # the backbone's 2048; a number adds a linear layer before the neck
    pooling='average',  # 'gem': generalised mean
    num_vehicles=None,  # counted in the training split
    loss_weights=dict(loss_id=1.0, loss_global=1.0),
    metric_losses=[dict(type='BatchHardTripletLoss', margin=0.3)],
    label_smoothing=0.1)
