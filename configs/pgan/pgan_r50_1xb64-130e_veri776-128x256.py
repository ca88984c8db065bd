_base_ = './pgan_r50_1xb64-130e_veri776-224x224.py'

image_size = (128, 256)
