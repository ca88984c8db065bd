_base_ = '../../_base_/default_runtime.py'

default_scope = 'mmdet'
custom_imports = dict(
    imports=['detector.model', 'pgan.engine'],
    allow_failed_imports=False)
default_hooks = dict(checkpoint=dict(save_best='parts/mAP'))
custom_hooks = [
    dict(type='pgan.ChannelsLastHook'),
    dict(type='NumClassCheckHook')]
log_processor = dict(window_size=50)
