# The global branch of SSR-Net alone, the reference of Table 7 in its paper.
_base_ = './ssrnet_r50_1xb32-120e_veri776-256x256.py'

model = dict(branches=['global'])
