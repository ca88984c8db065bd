_base_ = './bot_r50_1xb64-120e_veri776-224x224.py'

image_size = (128, 256)
