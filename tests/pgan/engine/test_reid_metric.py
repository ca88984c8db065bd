import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import Evaluator

from pgan.engine import ReIDMetric
from pgan.evaluation import (
    FeatureSet,
    FeatureSetError,
    RankingError,
    evaluate,
    evaluate_features,
    load_features,
    save_features,
)
from pgan.registry import METRICS
from pgan.structures import ReIDSample

pytestmark = pytest.mark.slow

NUM_SAMPLES = 31  # odd, so that two processes need padding


def samples(with_weights=True):
    generator = torch.Generator().manual_seed(0)
    made = []
    for index in range(NUM_SAMPLES):
        feature = torch.randn(8, generator=generator)
        sample = ReIDSample(
            img_path=f"image_{'query' if index < 9 else 'test'}/{index:04}.jpg",
            role="query" if index < 9 else "gallery",
            vehicle_id=index % 4,
            camera_id=index % 3 - 1,
            feature=feature / feature.norm(),
        )
        if with_weights:
            sample.part_weights = torch.rand(3, generator=generator)
        made.append(sample)
    return made


def run(metric, data):
    for start in range(0, len(data), 4):
        metric.process(None, [sample.to_dict() for sample in data[start : start + 4]])
    return metric.evaluate(NUM_SAMPLES)


def direct_result():
    data = samples()
    query, gallery = data[:9], data[9:]
    return evaluate_features(
        torch.stack([s.feature for s in query]),
        torch.stack([s.feature for s in gallery]),
        [s.vehicle_id for s in query],
        [s.vehicle_id for s in gallery],
        [s.camera_id for s in query],
        [s.camera_id for s in gallery],
    )


def test_metric_is_the_ranking_in_percent():
    metrics = run(METRICS.build({"type": "ReIDMetric", "ranks": (1, 3)}), samples())
    result = direct_result()
    assert metrics == {
        "reid/mAP": 100 * result.mean_average_precision,
        "reid/mINP": 100 * result.mean_inp,
        "reid/Rank-1": 100 * result.cmc(1),
        "reid/Rank-3": 100 * result.cmc(3),
    }


def test_metric_serves_mmengines_evaluator():
    evaluator = Evaluator(ReIDMetric())
    for sample in samples():
        evaluator.process([sample])
    assert set(evaluator.evaluate(NUM_SAMPLES)) == {
        "reid/mAP",
        "reid/mINP",
        "reid/Rank-1",
        "reid/Rank-5",
        "reid/Rank-10",
        "reid/Rank-20",
    }


def test_the_protocol_is_the_data_sets_unless_another_is_asked_for():
    data = [sample.to_dict() for sample in samples()]
    for argument, meta, name in (
        (None, None, "cross-camera"),
        (None, {"protocol": "vric", "dataset": "VRIC"}, "vric"),
        ("multi-gallery-shot", {"protocol": "vric"}, "multi-gallery-shot"),
    ):
        metric = ReIDMetric(protocol=argument)
        metric.dataset_meta = meta
        metric.process(None, data)
        metrics = metric.evaluate(NUM_SAMPLES)
        assert metric.evaluation.protocol.name == name
        assert ("reid/mAP_std" in metrics) == (name == "multi-gallery-shot")
        assert metric.evaluation.dataset == (meta or {}).get("dataset", "")
    with pytest.raises(RankingError, match="no protocol named 'none'"):
        ReIDMetric(protocol="none")


GATHERED = {"gpu": "cross-camera", "cpu": "single-gallery-shot"}  # how: by which protocol


def _one_of_two_processes(rank, folder):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    data = samples()
    mine = [data[index] for index in DefaultSampler(data, shuffle=False)]
    for how, protocol in GATHERED.items():
        metric = ReIDMetric(
            dump=folder / f"{how}.npz",
            protocol=protocol,
            collect_device=how,
            collect_dir=str(folder / "parts") if how == "cpu" else None,
        )
        metrics = run(metric, mine)
        values = list(metrics.values())
        np.savez(folder / f"{how}_{rank}.npz", keys=list(metrics), values=values)
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_metrics_of_one_bit_for_bit(tmp_path, monkeypatch, pytestconfig):
    monkeypatch.syspath_prepend(pytestconfig.rootpath)  # the children import this module anew
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    torch.multiprocessing.spawn(_one_of_two_processes, (tmp_path,), nprocs=2)
    for how, protocol in GATHERED.items():
        expected = run(ReIDMetric(dump=tmp_path / "single.npz", protocol=protocol), samples())
        for rank in range(2):
            with np.load(tmp_path / f"{how}_{rank}.npz") as file:
                assert dict(zip(file["keys"].tolist(), file["values"].tolist())) == expected
        one, two = (load_features(tmp_path / f"{name}.npz") for name in ("single", how))
        np.testing.assert_array_equal(one.img_paths, two.img_paths)
        np.testing.assert_array_equal(one.features, two.features)


@pytest.mark.parametrize("with_weights", [True, False])
def test_dump_reads_back_and_scores_the_same(tmp_path, with_weights):
    data = samples(with_weights)
    metrics = run(ReIDMetric(dump=tmp_path / "new folder" / "features.npz"), data)
    features = load_features(tmp_path / "new folder" / "features.npz")
    assert features.img_paths.tolist() == [s.img_path for s in data]
    assert features.roles.tolist() == [s.role for s in data]
    assert features.camera_ids.tolist() == [s.camera_id for s in data]
    np.testing.assert_array_equal(features.features, torch.stack([s.feature for s in data]))
    if with_weights:
        expected = torch.stack([s.part_weights for s in data])
        np.testing.assert_array_equal(features.part_weights, expected)
    else:
        assert features.part_weights is None
    assert evaluate(features).metrics()["mAP"] == metrics["reid/mAP"]
    assert [path.name for path in tmp_path.glob("new folder/*")] == ["features.npz"]


def feature_set():
    metric = ReIDMetric()
    metric.process(None, [sample.to_dict() for sample in samples()])
    return FeatureSet.from_records(metric.results)


def test_search_of_a_feature_set_leaves_junk_out():
    features = feature_set()
    query, gallery = features.query_and_gallery()
    found = features.search(5)
    for row, index in enumerate(found.indices):
        same = gallery.vehicle_ids[index] == query.vehicle_ids[row]
        camera = query.camera_ids[row]
        assert not (same & (gallery.camera_ids[index] == camera) & (camera != -1)).any()


def test_the_batch_is_not_kept_alive():
    batch = torch.randn(64, 8)
    sample = samples()[0]
    sample.feature = batch[0]
    metric = ReIDMetric()
    metric.process(None, [sample.to_dict()])
    batch.zero_()
    assert np.abs(metric.results[0]["feature"]).sum() > 0


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "features.npz"
    save_features(path, feature_set())
    before = path.read_bytes()

    def savez(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", savez)
    with pytest.raises(OSError, match="disk full"):
        save_features(path, feature_set())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_bad_samples_are_named():
    sample = samples()[0].to_dict()
    for change, message in (
        ({"role": "probe"}, "image_query/0000.jpg: its role is 'probe'"),
        ({"feature": None}, "image_query/0000.jpg: the sample has no feature"),
    ):
        bad = {k: v for k, v in {**sample, **change}.items() if v is not None}
        with pytest.raises(RankingError, match=message):
            ReIDMetric().process(None, [bad])
    with pytest.raises(RankingError, match="ranks must be"):
        ReIDMetric(ranks=(0, 1))
    with pytest.raises(RankingError, match="none of the 9 images has the role 'gallery'"):
        run(ReIDMetric(), samples()[:9])
    with pytest.raises(FeatureSetError, match="the test set is empty"):
        ReIDMetric().compute_metrics([])


def test_bad_feature_files_are_named(tmp_path):
    with pytest.raises(FeatureSetError, match="no such file"):
        load_features(tmp_path / "none.npz")
    with pytest.raises(FeatureSetError, match=r"must end in \.npz"):
        save_features(tmp_path / "features.pkl", feature_set())
    garbage = tmp_path / "garbage.npz"
    for content in (b"", b"not a zip", b"PK\x03\x04 cut off"):
        garbage.write_bytes(content)
        with pytest.raises(FeatureSetError, match="not a feature file"):
            load_features(garbage)
    np.savez(garbage, something=np.zeros(3))
    with pytest.raises(FeatureSetError, match="schema 1"):
        load_features(garbage)
    np.savez(garbage, schema=1, features=np.zeros(3))
    with pytest.raises(FeatureSetError, match="do not form a feature set"):
        load_features(garbage)
    good = feature_set()
    arrays = {name: getattr(good, name) for name in good.__dataclass_fields__}
    np.savez(garbage, schema=1, **{**arrays, "roles": good.roles[1:]})
    with pytest.raises(FeatureSetError, match="differ in length"):
        load_features(garbage)
