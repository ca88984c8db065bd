# The synthetic fleet as a benchmark, for two CPU cores: 39 training runs, two at a time, in two to three hours.
# The demo (pgan/experiments/demo.py) takes its fleet, detector, PGAN, baseline and jobs from here.
fleet = dict(
    vehicles=180, test_share=0.5, images_per_vehicle=12, detector_images=480, size=128, seed=0)
detector = 'configs/detector/ssdlite_resnet_fleet.py'
pgan = 'configs/pgan/pgan_r18-cpu_1xb64-24e_fleet-96x96.py'
baseline = 'configs/pgan/baseline_r18-cpu_1xb64-24e_fleet-96x96.py'
models = {'SSR-Net': 'configs/ssrnet/ssrnet_r18-cpu_1xb64-24e_fleet-96x96.py'}  # for comparison

num_parts = [0, 2, 4, 8, 16]  # D; other comparisons use the config's value
noises = [0.1, 0.25]  # noise of the detector's boxes, relative to a box's sides
seeds = [0, 1, 2]
jobs = 2  # at a time; two runs on one core each are faster than one after the other on two cores
options = dict()  # config keys to change in all models
