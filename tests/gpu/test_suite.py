"""Tests of `pgan.benchmarks.gpu`: every item measures something on the device, at toy size."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pgan.benchmarks import gpu
from pgan.benchmarks.gpu import TOY, GPUError, run_suite
from pgan.tools import benchmark as tool

ITEMS = [
    *("part_attention", "inference_fp32", "training_fp32", "inference_amp", "training_amp"),
    *("evaluation", "extraction_ssdlite", "end_to_end", "compiled_ssdlite"),
]


@pytest.mark.slow
def test_every_item_is_measured_and_reported_at_once(device: torch.device) -> None:
    reports: list[list[str]] = []
    results = run_suite(str(device), TOY, report=lambda r: reports.append(list(r["items"])))
    assert list(results["items"]) == ITEMS
    assert reports == [ITEMS[:count] for count in range(1, len(ITEMS) + 1)]
    assert {"card", "torch", "cuda", "date", "seed"} <= results["machine"].keys()
    items: dict[str, dict[str, Any]] = results["items"]
    assert not {name: item["error"] for name, item in items.items() if "error" in item}
    assert items["part_attention"]["max_error"] < 1e-4
    assert items["evaluation"]["max_difference"] == 0
    for precision in ("fp32", "amp"):
        assert items[f"training_{precision}"]["finite"] == "True"
        assert items[f"inference_{precision}"]["pgan_images_per_s"] > 0
    assert items["extraction_ssdlite"]["fp32_images_per_s"] > 0
    assert items["end_to_end"]["images"] == 4
    assert json.loads(json.dumps(results)).keys() == results.keys()


def test_failing_item_is_reported_and_the_rest_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory\nand more")

    monkeypatch.setattr(gpu, "inference", fail)
    monkeypatch.setattr(gpu, "training", fail)
    for name in ("extraction", "end_to_end", "compiled"):
        monkeypatch.setattr(gpu, name, lambda *_: {"images_per_s": 1.0})
    items = run_suite("cpu", TOY)["items"]
    assert items["inference_fp32"]["error"] == "RuntimeError: out of memory"
    assert "speedup" in items["evaluation"]


def test_items_beyond_the_budget_are_skipped_with_the_reason() -> None:
    items = run_suite("cpu", TOY, budget=0)["items"]
    assert {item["skipped"] for item in items.values()} == {"the budget of 0 s is spent"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_machine_without_a_gpu_is_named_and_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(GPUError, match="torch sees no GPU"):
        run_suite("cuda", TOY)
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--suite", "gpu"])
    assert tool.main() == 0
    assert capsys.readouterr().out.startswith("skipped: --suite gpu needs a GPU")
    monkeypatch.setattr(gpu, "run_suite", lambda *_, **__: {"machine": {}, "items": {}})
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--suite", "gpu", "--toy"])
    assert tool.main() == 0


def test_toy_sizes_measure_every_kind_of_item() -> None:
    full = [name for name, _ in gpu._items(torch.device("cpu"), gpu.Sizes())]
    toy = [name for name, _ in gpu._items(torch.device("cpu"), replace(TOY))]
    assert toy == ITEMS
    assert {name.partition("_ssd")[0] for name in full} == {n.partition("_ssd")[0] for n in toy}
