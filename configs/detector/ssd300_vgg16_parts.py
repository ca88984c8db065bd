# The paper's detector at 300 x 300: SSD on VGG16, 16 attributes. For a GPU.
_base_ = [
    '_base_/ssd300_vgg16.py', '_base_/parts_voc.py', '_base_/schedule_sgd.py', '_base_/runtime.py']
