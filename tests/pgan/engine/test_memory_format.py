from types import SimpleNamespace

import torch
from torch import nn

from pgan.engine import ChannelsLastHook


def test_maps_stay_channels_last_and_results_the_same():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3)
    ).eval()
    images = torch.randn(2, 3, 9, 9)
    before = model(images)
    ChannelsLastHook().before_run(SimpleNamespace(model=model))
    after = model(images)
    assert after.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(after, before)
