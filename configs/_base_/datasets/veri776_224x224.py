# VeRi-776 at 224x224. Every value is that of the authors' release unless a comment says otherwise.
data_root = 'data/VeRi'
part_cache = None  # the folder that tools/extract_parts.py wrote; None for models without parts
num_parts = 0  # D, boxes per image
image_size = (224, 224)  # height and width of every transform whose size is None
mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's

train_pipeline = [
    dict(type='LoadReIDImage'),
    dict(type='torchvision/Resize', size=None, antialias=True),
    dict(type='torchvision/RandomHorizontalFlip', p=0.5),  # boxes are flipped with the image
    dict(type='ToFloat'),
    dict(type='torchvision/Normalize', mean=mean, std=std),
    # After normalisation, filled with the numbers of the mean, as in the release; boxes stay as they are.
    dict(type='torchvision/RandomErasing', p=0.5, scale=(0.02, 0.4), ratio=(0.3, 3.33),
         value=list(mean)),
    dict(type='PackReID'),
]
# Random crops in place of random erasing, as in the SSR-Net paper. We chose the padding of 10 pixels.
crop_pipeline = [
    *train_pipeline[:5],
    dict(type='torchvision/Pad', padding=10),
    dict(type='torchvision/RandomCrop', size=None),
    dict(type='PackReID'),
]
test_pipeline = [
    dict(type='LoadReIDImage'),
    dict(type='torchvision/Resize', size=None, antialias=True),
    dict(type='ToFloat'),
    dict(type='torchvision/Normalize', mean=mean, std=std),
    dict(type='PackReID'),
]

train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    drop_last=True,
    sampler=dict(type='PKSampler', identities=16, images=4),
    collate_fn=dict(type='pgan.collate_reid'),
    worker_init_fn=dict(type='pgan.seed_worker'),
    dataset=dict(type='VeRi776', split='train', pipeline=train_pipeline))
test_dataloader = dict(
    batch_size=64,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pgan.collate_reid'),
    dataset=dict(type='VeRi776', split='test', pipeline=test_pipeline))
val_dataloader = test_dataloader
test_evaluator = dict(type='ReIDMetric', ranks=(1, 5, 10))
val_evaluator = test_evaluator
