"""Swin and ViT, cut into stages; small instances of torchvision's classes."""

import pytest
import torch
import torchvision
from torchvision.models import SwinTransformer, VisionTransformer

from pgan.models import ModelError, TorchvisionBackbone
from pgan.models.backbone_stages import cut_into_stages
from pgan.models.vision_transformer import MapEncoder

pytestmark = pytest.mark.slow


def small_vit() -> VisionTransformer:
    vit = VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
    ).eval()
    torch.nn.init.normal_(vit.class_token)
    return vit


def small_swin() -> SwinTransformer:
    return SwinTransformer([4, 4], 8, [1, 1, 1], [1, 2, 4], [4, 4]).eval()


def stages(model, out=None):
    return torch.nn.Sequential(cut_into_stages(model, "it", out)).eval()


def test_vit_map_equals_torchvision_tokens():
    vit, images = small_vit(), torch.randn(2, 3, 32, 32)
    patches = vit._process_input(images)
    tokens = vit.encoder(torch.cat([vit.class_token.expand(2, -1, -1), patches], 1))
    maps = stages(vit)(images)
    assert maps.shape == (2, 16, 4, 4)
    for row in range(4):
        for column in range(4):
            torch.testing.assert_close(maps[:, :, row, column], tokens[:, 1 + 4 * row + column])


def test_swin_map_equals_torchvision_features_channels_first():
    swin = small_swin()
    for size in ((32, 32), (48, 96), (40, 56)):  # windows are padded if they do not fit
        images = torch.randn(2, 3, *size)
        ours, theirs = stages(swin)(images), swin.norm(swin.features(images))
        assert torch.equal(ours, theirs.permute(0, 3, 1, 2))
    cut = stages(swin, out="3")(images)
    assert torch.equal(cut, swin.features[:4](images).permute(0, 3, 1, 2))
    assert cut.shape == (2, 16, 5, 7)


class TestPositions:
    """Position embeddings at other sizes than the square on which they were learned."""

    def encoder(self) -> MapEncoder:
        return MapEncoder(small_vit())

    def grid(self, encoder: MapEncoder, size: tuple[int, int]) -> torch.Tensor:
        return encoder.positions(size)[0, 1:].T.unflatten(1, size)

    def test_positions_at_native_size_are_learned_ones(self):
        encoder = self.encoder()
        assert torch.equal(encoder.positions((4, 4)), encoder.pos_embedding)

    @pytest.mark.parametrize("size", [(2, 6), (8, 4), (3, 3), (1, 9)])
    def test_positions_keep_class_token_and_cover_every_patch(self, size):
        encoder = self.encoder()
        positions = encoder.positions(size)
        assert positions.shape == (1, 1 + size[0] * size[1], 16)
        assert torch.equal(positions[:, 0], encoder.pos_embedding[:, 0])

    def test_positions_keep_rows_and_columns(self):
        encoder = self.encoder()
        rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
        learned = torch.stack([rows, columns] * 8, -1).flatten(0, 1)
        encoder.pos_embedding.data[0, 1:] = learned
        row, column = self.grid(encoder, (3, 8))[:2].detach()
        # Each row of a ramp is constant and larger than the one above; the middle row is the mean.
        torch.testing.assert_close(row, row[:, :1].expand(3, 8), atol=1e-5, rtol=0)
        torch.testing.assert_close(column, column[:1].expand(3, 8), atol=1e-5, rtol=0)
        assert (row.diff(dim=0) > 0).all()
        assert (column.diff(dim=1) > 0).all()
        torch.testing.assert_close(row[1], torch.full((8,), 1.5))
        torch.testing.assert_close(row.mean(), torch.tensor(1.5))

    def test_positions_of_transposed_grid_are_transposed(self):
        one, two = self.encoder(), self.encoder()
        square = one.pos_embedding[0, 1:].unflatten(0, (4, 4))
        two.pos_embedding.data[0, 1:] = square.transpose(0, 1).flatten(0, 1)
        tall, wide = self.grid(one, (7, 3)), self.grid(two, (3, 7))
        torch.testing.assert_close(tall, wide.transpose(1, 2))

    def test_positions_are_trained_at_any_size(self):
        vit = small_vit()
        stages(vit)(torch.randn(1, 3, 16, 48)).sum().backward()
        assert torch.isfinite(vit.encoder.pos_embedding.grad).all()
        assert (vit.encoder.pos_embedding.grad[0, 1:].abs().sum(1) > 0).all()


def test_vit_accepts_images_that_are_not_square():
    assert stages(small_vit())(torch.randn(2, 3, 16, 40)).shape == (2, 16, 2, 5)


@pytest.mark.parametrize(
    ("name", "make", "there", "here"),
    [
        ("vit_b_16", small_vit, "encoder.pos_embedding", "encoder.pos_embedding"),
        ("vit_b_16", small_vit, "class_token", "encoder.class_token"),
        ("swin_t", small_swin, "norm.weight", "norm.weight"),
        ("swin_t", small_swin, "features.3.0.attn.qkv.weight", "3.0.attn.qkv.weight"),
    ],
)
def test_init_weights_loads_file_with_torchvision_names(
    monkeypatch, tmp_path, name, make, there, here
):
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights: make())
    state = {key: torch.randn_like(value.float()) for key, value in make().state_dict().items()}
    torch.save(state, tmp_path / "weights.pth")
    backbone = TorchvisionBackbone(name, last_stride=2, weights=str(tmp_path / "weights.pth"))
    backbone.init_weights()
    assert torch.equal(backbone.state_dict()[here], state[there])


@pytest.mark.parametrize(("name", "make"), [("vit_b_16", small_vit), ("swin_t", small_swin)])
def test_backbone_without_stride_or_stage_is_refused(monkeypatch, name, make):
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights: make())
    with pytest.raises(ModelError, match=f"{name} downsamples last by .*last_stride=2"):
        TorchvisionBackbone(name, last_stride=1)
    with pytest.raises(ModelError, match="'layer4' is no stage of"):
        TorchvisionBackbone(name, last_stride=2, out="layer4")
