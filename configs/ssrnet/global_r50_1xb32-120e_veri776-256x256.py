# SSR-Net's global branch alone: what its paper's Table 7 is relative to.
_base_ = './ssrnet_r50_1xb32-120e_veri776-256x256.py'

model = dict(branches=['global'])
