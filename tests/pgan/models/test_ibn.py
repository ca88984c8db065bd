import pytest
import torch

from pgan.models import ModelError, TorchvisionBackbone
from pgan.models.backbone_stages import build_model
from pgan.models.ibn import IBN


@pytest.fixture
def layer() -> IBN:
    layer = IBN(7)
    for parameter in layer.parameters():
        torch.nn.init.uniform_(parameter, 0.5, 2)
    layer.BN.running_mean.normal_()
    layer.BN.running_var.uniform_(0.5, 2)
    return layer


@pytest.mark.parametrize("training", [True, False])
def test_ibn_normalises_each_channel_as_in_paper(layer, training):
    x = torch.randn(3, 7, 4, 5) * 2 + 1
    mean, var = layer.BN.running_mean.clone(), layer.BN.running_var.clone()
    y = layer.train(training)(x)
    for channel in range(7):
        maps = x[:, channel]
        if channel < 3:  # instance statistics, also in eval mode
            centre, spread = maps.mean((1, 2)), maps.var((1, 2), unbiased=False)
            centre, spread = centre[:, None, None], spread[:, None, None]
            scale, shift = layer.IN.weight[channel], layer.IN.bias[channel]
        else:
            own = channel - 3
            if training:
                centre, spread = maps.mean(), maps.var(unbiased=False)
            else:
                centre, spread = mean[own], var[own]
            scale, shift = layer.BN.weight[own], layer.BN.bias[own]
        expected = (maps - centre) / (spread + 1e-5).sqrt() * scale + shift
        torch.testing.assert_close(y[:, channel], expected)


def released_names() -> dict[str, tuple[int, ...]]:
    """Names and shapes in the authors' resnet50_ibn_a-d9d0bb7b.pth, derived from its definition."""
    names: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)}

    def norm(name: str, channels: int, statistics: bool = True) -> None:
        names.update({f"{name}.weight": (channels,), f"{name}.bias": (channels,)})
        if statistics:
            names.update({f"{name}.running_{s}": (channels,) for s in ("mean", "var")})
            names[f"{name}.num_batches_tracked"] = ()

    norm("bn1", 64)
    inside = 64
    for stage, (blocks, planes) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)], 1):
        for block in range(blocks):
            at = f"layer{stage}.{block}"
            shapes = (planes, inside, 1, 1), (planes, planes, 3, 3), (4 * planes, planes, 1, 1)
            names.update({f"{at}.conv{n}.weight": shape for n, shape in enumerate(shapes, 1)})
            if stage < 4:
                norm(f"{at}.bn1.IN", planes // 2, statistics=False)
                norm(f"{at}.bn1.BN", planes // 2)
            else:
                norm(f"{at}.bn1", planes)
            norm(f"{at}.bn2", planes)
            norm(f"{at}.bn3", 4 * planes)
            if block == 0:
                names[f"{at}.downsample.0.weight"] = (4 * planes, inside, 1, 1)
                norm(f"{at}.downsample.1", 4 * planes)
            inside = 4 * planes
    return {**names, "fc.weight": (1000, 2048), "fc.bias": (1000,)}


def test_ibn_has_tensors_of_the_authors_release():
    with torch.device("meta"):
        model, plain = build_model("resnet50_ibn_a"), build_model("resnet50")
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert own == released_names()
    assert sum(isinstance(module, IBN) for module in model.modules()) == 13
    assert len(own) == len(plain.state_dict()) + 13 * 2  # the IN has two entries, the BN five


def test_ibn_loads_weights_from_file_only(tmp_path):
    state = build_model("resnet18_ibn_a").state_dict()
    torch.save(state, tmp_path / "ibn.pth")
    backbone = TorchvisionBackbone("resnet18_ibn_a", weights=str(tmp_path / "ibn.pth"))
    backbone.init_weights()
    assert all(torch.equal(value, state[name]) for name, value in backbone.state_dict().items())
    backbone.weights = "IMAGENET1K_V1"
    with pytest.raises(ModelError, match="neither a file nor .* resnet18_ibn_a: it has none"):
        backbone.init_weights()


def test_ibn_refuses_other_backbones_than_resnet():
    with pytest.raises(
        ModelError, match="'squeezenet1_1_ibn_a' is no classification model .* ResNets"
    ):
        TorchvisionBackbone("squeezenet1_1_ibn_a")


def test_ibn_converts_to_half_precision() -> None:
    assert {p.dtype for p in IBN(8).half().parameters()} == {torch.float16}
