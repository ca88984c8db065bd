import copy
import urllib.error

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models import ResNet18_Weights
from torchvision.ops import Permute

from pgan.models import ModelError, TorchvisionBackbone

IMAGE = torch.linspace(-1, 1, 2 * 3 * 64 * 64).view(2, 3, 64, 64)


@pytest.mark.parametrize(
    ("name", "out", "last_stride", "shape"),
    [
        ("resnet18", None, 1, (2, 512, 4, 4)),
        ("resnet18", None, 2, (2, 512, 2, 2)),
        ("resnet18", "layer3", 1, (2, 256, 8, 8)),
        ("resnet18", "layer3", 2, (2, 256, 4, 4)),
        ("mobilenet_v2", None, 1, (2, 1280, 4, 4)),
        ("mobilenet_v2", "13", 2, (2, 96, 4, 4)),
        ("mobilenet_v2", 13, 2, (2, 96, 4, 4)),
        ("regnet_y_400mf", None, 1, (2, 440, 4, 4)),
        ("densenet121", None, 2, (2, 1024, 2, 2)),
        ("squeezenet1_1", None, 2, (2, 512, 3, 3)),
    ],
)
def test_a_model_is_cut_at_its_feature_map(name, out, last_stride, shape):
    backbone = TorchvisionBackbone(name, last_stride, out)
    assert backbone(IMAGE).shape == shape
    assert backbone.out_channels == shape[1]
    assert backbone.training


def test_last_stride_changes_the_size_and_no_weight():
    one, two = TorchvisionBackbone("resnet18", 1), TorchvisionBackbone("resnet18", 2)
    one.load_state_dict(two.state_dict())
    # Where both sample the same cells, before the second convolution sees its neighbours.
    maps = [backbone.eval().layer3(torch.ones(1, 128, 8, 8)) for backbone in (one, two)]
    torch.testing.assert_close(*maps)
    outputs = [backbone.layer4[0].downsample(maps[0]) for backbone in (one, two)]
    torch.testing.assert_close(outputs[0][..., ::2, ::2], outputs[1], rtol=1e-3, atol=1e-3)


def test_building_a_backbone_leaves_its_statistics_alone():
    assert TorchvisionBackbone("resnet18").bn1.num_batches_tracked == 0


def test_a_deep_copy_still_switches_between_training_and_testing():
    backbone = copy.deepcopy(TorchvisionBackbone("resnet18", out="layer2")).train()
    backbone(IMAGE)
    assert backbone.bn1.num_batches_tracked == 1
    backbone.eval()(IMAGE)
    assert backbone.bn1.num_batches_tracked == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet19"}, "backbone.name='resnet19'"),
        ({"name": "resnet18", "out": "layer5"}, "'layer5' is no stage of resnet18: conv1, bn1"),
        ({"name": "resnet18", "last_stride": 3}, "last_stride=3: use 1 or 2"),
        ({"name": "densenet121", "last_stride": 1}, "densenet121 downsamples last by pooling"),
    ],
)
def test_what_cannot_be_a_backbone_is_refused(arguments, message):
    with pytest.raises(ModelError, match=message):
        TorchvisionBackbone(**arguments)


class SkippingNet(nn.Module):
    """Its forward is more than its stages in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2)
        self.layer1 = nn.Conv2d(4, 4, 1, stride=2)

    def forward(self, x):
        return self.layer1(self.stem(x) + 1)


class ChannelsLastNet(nn.Sequential):
    """Its map has the channels last, as Swin's."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 40, 3, stride=8), Permute([0, 2, 3, 1]))


@pytest.mark.parametrize("net", [SkippingNet, ChannelsLastNet])
def test_a_model_that_is_no_chain_of_stages_is_refused(monkeypatch, net):
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights: net())
    with pytest.raises(ModelError, match="'resnet18' is not a chain of stages"):
        TorchvisionBackbone("resnet18")


@pytest.fixture(scope="module")
def resnet_state():
    return torchvision.models.resnet18().state_dict()


@pytest.mark.parametrize("classes", [None, 1000, 7])
def test_a_local_file_loads_whatever_its_classifier(resnet_state, tmp_path, classes):
    state = {k: v for k, v in resnet_state.items() if not k.startswith("fc.")}
    if classes:
        state |= {"fc.weight": torch.zeros(classes, 512), "fc.bias": torch.zeros(classes)}
    torch.save(state, tmp_path / "weights.pth")
    backbone = TorchvisionBackbone("resnet18", out="layer3", weights=str(tmp_path / "weights.pth"))
    assert not torch.equal(backbone.conv1.weight, state["conv1.weight"])
    backbone.init_weights()
    assert all(torch.equal(v, state[k]) for k, v in backbone.state_dict().items())


def test_weights_of_a_model_with_features_load_too(tmp_path):
    state = torchvision.models.mobilenet_v2().state_dict()
    torch.save({"state_dict": state}, tmp_path / "weights.pth")
    backbone = TorchvisionBackbone("mobilenet_v2", weights=str(tmp_path / "weights.pth"))
    backbone.init_weights()
    assert torch.equal(backbone[18][0].weight, state["features.18.0.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer1.0.conv1.weight"), "lacks 1 entries, the first is 'layer1.0.conv1"),
        (lambda s: s.update(extra=torch.zeros(1)), "has unknown 1 entries, the first is 'extra'"),
        (lambda s: s.update({"conv1.weight": torch.zeros(1)}), "misshapes 1 entries"),
        (lambda s: s.update(state_dict=[[]]), "holds no state dict of tensors"),
        (lambda s: s.update(epoch=3), "holds no state dict of tensors"),
        (lambda s: s.clear(), "holds no state dict of tensors"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(resnet_state, tmp_path, change, message):
    state = dict(resnet_state)
    change(state)
    torch.save(state, tmp_path / "weights.pth")
    backbone = TorchvisionBackbone("resnet18", weights=str(tmp_path / "weights.pth"))
    with pytest.raises(ModelError, match=message):
        backbone.init_weights()


def test_a_file_with_more_than_tensors_and_a_broken_file_are_refused(tmp_path):
    torch.save(torchvision.models.resnet18(), tmp_path / "model.pth")
    (tmp_path / "broken.pth").write_bytes(b"not a checkpoint")
    (tmp_path / "empty.pth").touch()
    backbone = TorchvisionBackbone("resnet18")
    for name in ("model.pth", "broken.pth", "empty.pth"):
        backbone.weights = str(tmp_path / name)
        with pytest.raises(ModelError, match=f"{name}.*torch.save"):
            backbone.init_weights()


def test_a_flipped_bit_is_noticed(resnet_state, tmp_path):
    torch.save(resnet_state, tmp_path / "weights.pth")
    data = bytearray((tmp_path / "weights.pth").read_bytes())
    data[len(data) // 2] ^= 0x40
    (tmp_path / "weights.pth").write_bytes(data)
    backbone = TorchvisionBackbone("resnet18", weights=str(tmp_path / "weights.pth"))
    with pytest.raises(ModelError, match=r"backbone\.weights: .*weights\.pth: damaged"):
        backbone.init_weights()


def test_weights_in_the_older_format_load(resnet_state, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(resnet_state, path, _use_new_zipfile_serialization=False)
    backbone = TorchvisionBackbone("resnet18", weights=str(path))
    backbone.init_weights()
    assert torch.equal(backbone.conv1.weight, resnet_state["conv1.weight"])


def test_unknown_weights_name_the_known_ones():
    backbone = TorchvisionBackbone("resnet18", weights="IMAGENET1K_V9")
    with pytest.raises(ModelError, match=r"neither a file.*IMAGENET1K_V1, DEFAULT"):
        backbone.init_weights()


def test_offline_the_error_names_the_local_file(monkeypatch):
    def offline(self, *args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", offline)
    for weights in ("DEFAULT", "IMAGENET1K_V1"):
        backbone = TorchvisionBackbone("resnet18", weights=weights)
        with pytest.raises(
            ModelError, match=r"Cannot download https.*no route.*weights to its path"
        ):
            backbone.init_weights()


def test_downloaded_weights_are_loaded(monkeypatch, resnet_state):
    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", lambda self, **_: resnet_state)
    backbone = TorchvisionBackbone("resnet18", weights="DEFAULT")
    backbone.init_weights()
    assert torch.equal(backbone.conv1.weight, resnet_state["conv1.weight"])
