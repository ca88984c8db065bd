_base_ = './csv_224x224.py'

image_size = (128, 128)
train_dataloader = dict(num_workers=2)
test_dataloader = dict(num_workers=2)
val_dataloader = test_dataloader
