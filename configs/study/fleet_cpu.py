# The synthetic fleet as a benchmark, for two CPU cores: 39 trainings, two side by side, in two to three hours.
# The demo (pgan/demo.py) takes its fleet, its detector, PGAN, the baseline and jobs from here.
fleet = dict(
    vehicles=180, test_share=0.5, images_per_vehicle=12, detector_images=480, size=128, seed=0)
detector = 'configs/detector/ssdlite_resnet_fleet.py'
pgan = 'configs/pgan/pgan_r18-cpu_1xb64-24e_fleet-96x96.py'
baseline = 'configs/pgan/baseline_r18-cpu_1xb64-24e_fleet-96x96.py'
models = {'SSR-Net': 'configs/ssrnet/ssrnet_r18-cpu_1xb64-24e_fleet-96x96.py'}  # to stand beside them

num_parts = [0, 2, 4, 8, 16]  # D; a model that is compared otherwise has its config's
noises = [0.1, 0.25]  # of the detector's boxes, in sides of a box
seeds = [0, 1, 2]
jobs = 2  # side by side; two trainings on a core each are faster than one after the other on two
options = dict()  # config keys to change in all models
