default_scope = 'pgan'
custom_imports = dict(
    imports=['pgan.datasets', 'pgan.engine', 'pgan.evaluation', 'pgan.models'],
    allow_failed_imports=False)

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))
randomness = dict(seed=0)

# Hooks are named with their scope, because the detector's configs inherit them.
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='pgan.AtomicCheckpointHook', interval=1, max_keep_ckpts=2, save_best='reid/mAP',
        rule='greater'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    exact_resume=dict(type='pgan.ExactResumeHook'),
    finite_loss=dict(type='pgan.FiniteLossHook'),
    # With several processes: whether losses and batch norms see the batches of all of them.
    global_batch=dict(type='pgan.GlobalBatchHook', metric_losses=True, batch_norm=False))

visualizer = dict(
    type='Visualizer',
    vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])
log_processor = dict(by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False
