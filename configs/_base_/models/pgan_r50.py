# Structure and values of the authors' release; see pgan/models/pgan.py.
model = dict(
    type='PGAN',
    backbone=dict(
        type='TorchvisionBackbone',
        name='resnet50',
        last_stride=1,  # 14x14 cells from 224x224 pixels
        weights='IMAGENET1K_V1'),  # downloaded by torchvision; or the path of a local file
    feature_dim=512,  # 2C', the fusion feature; part and global features have half of it
    attention='learned',  # 'uniform' is the paper's 'without PAM'; 'grid' makes every cell a part
    temperature=10.0,  # of the attention's softmax; from the release, not stated in the paper
    num_vehicles=None,  # counted in the training split
    loss_weights=dict(
        loss_id=2.0,  # lambda; the release uses 1 on VehicleID
        loss_fusion=1.0,
        loss_global=1.0,
        loss_part=1.0),
    metric_losses=[dict(type='BatchHardTripletLoss', margin=0.3)])
