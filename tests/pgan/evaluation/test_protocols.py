import hashlib

import numpy as np
import pytest

from pgan.evaluation import PROTOCOLS, FeatureSet, Protocol, RankingError, get_protocol


def feature_set(images, seed=0):
    """Images as (path, vehicle, camera, role)."""
    paths, vehicles, cameras, roles = zip(*images)
    features = np.random.default_rng(seed).standard_normal((len(images), 8)).astype(np.float32)
    return FeatureSet(
        features, np.array(vehicles), np.array(cameras), np.array(roles), np.array(paths)
    )


def pool(vehicles=5, images=4):
    return feature_set(
        [(f"image/{v}_{i}.jpg", v, i % 3, "pool") for v in range(vehicles) for i in range(images)]
    )


def paths_of(draw, role):
    return draw.subset(role).img_paths.tolist()


def test_protocols_have_the_names_used_in_the_literature():
    sizes = ["small", "medium", "large"]
    promised = {
        "cross-camera",
        "veri776",
        "vric",
        *(f"veriwild-{size}" for size in sizes),
        *(f"vehicleid-{n}" for n in (800, 1600, 2400, 3200, 6000, 13164)),
        *(f"vehicle1m-{n}" for n in (1000, 2000, 3000, 5527)),
        "one-gallery-image",
        "single-gallery-shot",
        "multi-gallery-shot",
    }
    assert promised <= set(PROTOCOLS)
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())
    assert PROTOCOLS["vehicleid-2400"].to_dict() == {
        "name": "vehicleid-2400",
        "title": PROTOCOLS["vehicleid-2400"].title,
        "gallery": "one-per-vehicle",
        "junk": "none",
        "repeats": 10,
        "seed": 0,
        "vehicles": 2400,
        "distance": "squared Euclidean",
    }
    assert PROTOCOLS["veri776"].junk == PROTOCOLS["veriwild-large"].junk == "same-camera"


def test_draws_take_the_image_with_the_smallest_digest():
    features = pool()
    for repeat, draw in enumerate(PROTOCOLS["vehicleid-800"].draws(features)):
        for vehicle in range(5):
            images = features.img_paths[features.vehicle_ids == vehicle]
            least = min(
                images, key=lambda p: hashlib.sha256(f"0 {repeat} {p}".encode()).hexdigest()
            )
            assert least in paths_of(draw, "gallery")
        assert len(draw.subset("gallery")) == 5
        assert len(draw.subset("query")) == 15
        assert (draw.camera_ids == -1).all()
    assert repeat == 9


def test_draws_are_the_same_on_every_machine():
    draws = list(PROTOCOLS["one-gallery-image"].draws(pool(3, 3)))
    found = ["".join(path[8] for path in paths_of(draw, "gallery")) for draw in draws]
    assert found == FROZEN


FROZEN = ["221", "102", "001", "111", "202", "022", "110", "110", "210", "112"]


def test_draws_are_independent_of_the_order_of_images():
    features = pool()
    shuffled = features.take(np.random.default_rng(0).permutation(len(features)))
    for name in ("single-gallery-shot", "multi-gallery-shot"):
        for one, two in zip(PROTOCOLS[name].draws(features), PROTOCOLS[name].draws(shuffled)):
            np.testing.assert_array_equal(one.img_paths, two.img_paths)
            np.testing.assert_array_equal(one.roles, two.roles)
            np.testing.assert_array_equal(one.features, two.features)


def test_draws_depend_on_the_seed():
    one, two = (Protocol("p", "", "one-per-vehicle", "none", 1, seed) for seed in (0, 1))
    features = pool(30)
    first, second = (paths_of(next(p.draws(features)), "gallery") for p in (one, two))
    assert 0 < len(set(first) & set(second)) < 30


def test_multi_gallery_shot_is_single_gallery_shot_reversed():
    for single, multi in zip(
        PROTOCOLS["single-gallery-shot"].draws(pool()),
        PROTOCOLS["multi-gallery-shot"].draws(pool()),
    ):
        assert paths_of(single, "gallery") == paths_of(multi, "query")
        assert paths_of(single, "query") == paths_of(multi, "gallery")


def test_single_gallery_shot_never_queries_the_only_image_of_a_vehicle():
    features = feature_set([("a", 1, 0, "pool"), ("b", 1, 0, "pool"), ("c", 2, 0, "pool")])
    for draw in PROTOCOLS["single-gallery-shot"].draws(features):
        assert "c" in paths_of(draw, "gallery")
    for draw in PROTOCOLS["multi-gallery-shot"].draws(features):
        assert "c" in paths_of(draw, "query")


def test_listed_protocols_keep_roles_and_apply_their_junk_rule():
    features = feature_set([("q", 1, 3, "query"), ("g", 1, 3, "gallery"), ("p", 1, 0, "pool")])
    (draw,) = PROTOCOLS["veri776"].draws(features)
    assert draw.roles.tolist() == ["query", "gallery"]
    assert draw.camera_ids.tolist() == [3, 3]
    (draw,) = PROTOCOLS["vric"].draws(features)
    assert draw.camera_ids.tolist() == [-1, -1]
    assert features.camera_ids.tolist() == [3, 3, 0]


def test_draws_take_an_image_listed_as_query_and_gallery_once():
    # As VeRi-776 lists its queries; without cameras, equal names in two folders are two images.
    listed = [("image_query/1.jpg", 1, 3, "query"), ("image_test/1.jpg", 1, 3, "gallery")]
    others = [("image_test/2.jpg", 1, 4, "gallery"), ("x/1.jpg", 2, -1, "query")]
    features = feature_set([*listed, *others, ("y/1.jpg", 2, -1, "gallery"), others[0]])
    draw = next(PROTOCOLS["single-gallery-shot"].draws(features))
    assert sorted(draw.img_paths) == ["image_query/1.jpg", "image_test/2.jpg", "x/1.jpg", "y/1.jpg"]


def test_draws_raise_for_features_that_cannot_be_divided():
    with pytest.raises(RankingError, match="'veri776' takes queries .* none of the 20 .* 'query'"):
        next(PROTOCOLS["veri776"].draws(pool()))
    with pytest.raises(RankingError, match="no vehicle has two of the 5 test images"):
        next(PROTOCOLS["vehicleid-800"].draws(pool(5, 1)))
    with pytest.raises(
        RankingError, match="no protocol named 'veri': choose one of cross-camera, "
    ):
        get_protocol("veri")
