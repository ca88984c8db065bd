# The synthetic fleet as a benchmark, for GPUs: more vehicles and pixels, the paper's ResNet-50 and SSD512, all trained
# from random weights. Each GPU runs one training at a time. This study has not been run yet.
fleet = dict(
    vehicles=800, test_share=0.3, images_per_vehicle=20, detector_images=4000, size=256, seed=0)
detector = 'configs/detector/ssd512_vgg16_parts.py'
pgan = 'configs/pgan/pgan_r50_1xb64-60e_fleet-224x224.py'
baseline = 'configs/pgan/baseline_r50_1xb64-60e_fleet-224x224.py'
models = {'SSR-Net': 'configs/ssrnet/ssrnet_r50_1xb64-60e_fleet-224x224.py'}

num_parts = [0, 2, 4, 8, 12, 16]
noises = [0.1, 0.25]
seeds = [0, 1, 2]
jobs = None  # one on each GPU
options = dict()
