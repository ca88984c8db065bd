# Structure and values of the SSR-Net paper. docs/ssrnet.md lists the choices where the paper is silent.
model = dict(
    type='SSRNet',
    backbone=dict(
        type='TorchvisionBackbone',
        name='resnet50',
        last_stride=1,  # 16x16 cells from 256x256 pixels; this gives the paper's FLOPs
        weights='IMAGENET1K_V1'),  # downloaded by torchvision; or the path of a local file
    branches=['global', 'relation', 'attention'],
    attention='cbam',  # or none (without its branch), se, stn, bilinear
    parts='graph',  # or pcb, which uses stripes instead
    graph=dict(
        out_channels=512,  # of the token
        hidden_channels=2048,  # not stated in the paper; closer to the parameters of its Table 7
        depth=2,
        scale=2 / 3,  # lambda, the side of a region relative to the map's
        with_global=True,
        with_token=True),
    num_vehicles=None,  # counted in the training split
    loss_weights=dict(loss_id=1.0, loss_global=1.0, loss_relation=1.0, loss_attention=1.0),  # beta: the last three
    # The losses that the paper compares; a weight of 0 turns one off. The weights of the paper's experiments are
    # chosen so that each loss starts near 1 or 2: METRIC_LOSSES in pgan/experiments/papers/ssrnet.py.
    metric_losses=[
        dict(type='BatchHardTripletLoss', margin=0.5, weight=1.0),
        dict(type='MetricLearningLoss', name='CircleLoss', m=0.25, gamma=256, weight=0.0),
        dict(type='MetricLearningLoss', name='ContrastiveLoss', weight=0.0),
        dict(type='MetricLearningLoss', name='LiftedStructureLoss', weight=0.0),
        dict(type='MetricLearningLoss', name='InstanceLoss', weight=0.0),
    ])
