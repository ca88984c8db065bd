# Trained on one data set without random erasing, tested on the others. Luo et al., 'Bag of Tricks and a Strong
# Baseline for Deep Person Re-identification' (CVPR Workshops 2019, arXiv 1903.07071), find in cross-domain experiments
# on persons that random erasing makes a model much worse on a data set that it was not trained on. They infer that a
# model which fills in erased regions learns more about its own domain.
_base_ = './large_scale.py'

title = 'Trained on one data set without random erasing, tested on all three'
models = {
    '_delete_': True,
    'bot_r50 VeRi-776': 'configs/baseline/bot_r50_1xb64-120e_veri776-128x256.py',
    'bot_r50 VehicleID': 'configs/baseline/bot_r50_1xb64-120e_vehicleid-128x256.py',
    'bot_r50 Vehicle-1M': 'configs/baseline/bot_r50_1xb64-120e_vehicle1m-128x256.py',
    'fc256_r50 VeRi-776': 'configs/baseline/fc256_r50_1xb64-120e_veri776-128x256.py',
    'fc256_r50 VehicleID': 'configs/baseline/fc256_r50_1xb64-120e_vehicleid-128x256.py',
    'fc256_r50 Vehicle-1M': 'configs/baseline/fc256_r50_1xb64-120e_vehicle1m-128x256.py',
    'PGAN VeRi-776': 'configs/pgan/pgan_r50_1xb64-130e_veri776-128x256.py',
    'PGAN VehicleID': 'configs/pgan/pgan_r50_1xb64-130e_vehicleid-128x256.py',
    'PGAN Vehicle-1M': 'configs/pgan/pgan_r50_1xb64-130e_vehicle1m-128x256.py',
}
options = {'train_dataloader.dataset.pipeline.5.p': 0.0}  # torchvision/RandomErasing
tests = {'VeRi-776': 'configs/pgan/pgan_r50_1xb64-130e_veri776-128x256.py'}  # in addition to every list
