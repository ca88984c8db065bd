# SSR-Net's structure and values; where its paper is silent, pgan/models/ssr_net.py and relation.py say so.
model = dict(
    type='SSRNet',
    backbone=dict(
        type='TorchvisionBackbone',
        name='resnet50',
        last_stride=1,  # 16x16 cells from 256x256 pixels: it gives the paper's FLOPs
        weights='IMAGENET1K_V1'),  # torchvision's download; a local file's path does as well
    branches=['global', 'relation', 'attention'],
    attention='cbam',  # or none (without its branch), se, stn, bilinear
    parts='graph',  # or pcb: stripes in its place
    graph=dict(
        out_channels=512,  # of the token
        hidden_channels=2048,  # the paper is silent; it brings the parameters nearer to its Table 7's
        depth=2,
        scale=2 / 3,  # lambda: side of a region over that of the map
        with_global=True,
        with_token=True),
    num_vehicles=None,  # counted in the training split
    loss_weights=dict(loss_id=1.0, loss_global=1.0, loss_relation=1.0, loss_attention=1.0),  # beta: the last 3
    # Those that the paper compares; one of weight 0 is off. Their weights, where they are on, are chosen so
    # that each starts near 1 or 2: METRIC_LOSSES in pgan/papers/ssrnet.py.
    metric_losses=[
        dict(type='BatchHardTripletLoss', margin=0.5, weight=1.0),
        dict(type='MetricLearningLoss', name='CircleLoss', m=0.25, gamma=256, weight=0.0),
        dict(type='MetricLearningLoss', name='ContrastiveLoss', weight=0.0),
        dict(type='MetricLearningLoss', name='LiftedStructureLoss', weight=0.0),
        dict(type='MetricLearningLoss', name='InstanceLoss', weight=0.0),
    ])
