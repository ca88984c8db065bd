# Part annotations in Pascal VOC's layout; the pipelines are the model's, with its input size.
data_root = 'data/parts_voc'

train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=True),
    worker_init_fn=dict(type='pgan.seed_worker'),
    dataset=dict(type='VehiclePartsDataset', ann_file='ImageSets/Main/train.txt'))
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='VehiclePartsDataset', ann_file='ImageSets/Main/val.txt', test_mode=True))
test_dataloader = val_dataloader
val_evaluator = dict(type='PartsMetric')
test_evaluator = val_evaluator
