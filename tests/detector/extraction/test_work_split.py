"""Splitting an extraction among processes: locks, dead processes, folders that are not writable."""

from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from detector.cache import CacheError, PartCache, Parts
from detector.cache.layout import FILES, MANIFEST, PLAN, read_json
from detector.cache.shards import LOCK, beginning
from detector.cache.writer import PartCacheWriter
from detector.common.errors import DetectorError
from detector.extraction.work_split import Split, claim

pytestmark = pytest.mark.slow

IDENTITY = {"classes": ["wheel", "plate"], "max_parts": 3}
IMAGES = [f"{number:03d}.jpg" for number in range(22)]
FORK = multiprocessing.get_context("fork")


def parts_of(image: str) -> Parts | str:
    """Parts that depend on the image's name only, so every process finds the same."""
    number = int(image[:3])
    if number == 7:
        return "the file is empty"
    corners = np.array([[1, 1, 5, 5], [2, 0, 9, 4]], np.float32)[: number % 3]
    scores, labels = np.array([0.9, 0.5], np.float32), np.array([0, 1])
    return Parts(corners, scores[: number % 3], labels[: number % 3], (10, 20))


def writer_of(folder: Path) -> PartCacheWriter:
    return PartCacheWriter(folder, IMAGES, IDENTITY, {"config": "x"}, shard_size=4)


def work(folder: Path, split: Split | None, stop_after: int | None = None) -> list[int]:
    """Extract the shards of a split, or the first ``stop_after`` of them."""
    writer, done = writer_of(folder), []
    for shard in claim(writer, split):
        if stop_after is not None and len(done) == stop_after:
            break
        writer.write(shard, [parts_of(image) for image in writer.shard(shard)])
        done.append(shard)
    writer.shards.release()
    return done


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    writer_of(tmp_path / "whole").fill(parts_of, progress=False)
    assert contents(tmp_path / "whole").keys() == {*FILES, MANIFEST}
    return contents(tmp_path / "whole")


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 9])
def test_splits_cover_all_shards_once_and_evenly(count: int) -> None:
    splits = [Split(index, count).shards(6) for index in range(count)]
    assert sorted(shard for shards in splits for shard in shards) == list(range(6))
    assert max(map(len, splits)) - min(map(len, splits)) <= 1


@pytest.mark.parametrize("helps", [False, True])
def test_splits_write_the_same_cache_as_one_process(
    tmp_path: Path, whole: dict[str, bytes], helps: bool
) -> None:
    done = [work(tmp_path / "cache", Split(index, 3, helps), 2) for index in (2, 0, 1)]
    assert done == [[4, 5], [0, 1], [2, 3]]
    writer_of(tmp_path / "cache").finish()
    assert contents(tmp_path / "cache") == whole


def test_helping_splits_take_over_the_shards_of_a_dead_process(
    tmp_path: Path, whole: dict[str, bytes]
) -> None:
    assert work(tmp_path / "cache", Split(0, 2, helps=True), stop_after=1) == [0]
    assert work(tmp_path / "cache", Split(1, 2, helps=True)) == [3, 4, 5, 1, 2]
    assert work(tmp_path / "cache", Split(0, 2, helps=True)) == []
    writer_of(tmp_path / "cache").finish()
    assert contents(tmp_path / "cache") == whole


def _hold(folder: Path, shards: range | None, ready, leave) -> None:
    assert writer_of(folder).take(shards)
    ready.set()
    leave.wait(30)
    os._exit(1)


@pytest.fixture
def other_process(tmp_path: Path):
    """``start(shards)``: another process locks the shards until the test ends."""
    leave, running = FORK.Event(), []

    def start(shards: range | None) -> None:
        ready = FORK.Event()
        running.append(FORK.Process(target=_hold, args=(tmp_path / "cache", shards, ready, leave)))
        running[-1].start()
        assert ready.wait(30)

    yield start
    leave.set()
    for process in running:
        process.join(30)


def test_claim_refuses_a_second_writer_and_changes_nothing(tmp_path: Path, other_process) -> None:
    work(tmp_path / "cache", None, stop_after=2)
    other_process(None)
    before = contents(tmp_path / "cache")
    for attempt in (None, Split(0, 2)):
        with pytest.raises(CacheError, match="another process is"):
            claim(writer_of(tmp_path / "cache"), attempt)
    with pytest.raises(CacheError, match="another process is writing to it"):
        writer_of(tmp_path / "cache").finish()
    assert list(claim(writer_of(tmp_path / "cache"), Split(0, 2, helps=True))) == []
    assert contents(tmp_path / "cache") == before


def test_helping_splits_skip_shards_that_another_process_locked(
    tmp_path: Path, other_process
) -> None:
    other_process(range(1, 3))
    assert list(claim(writer_of(tmp_path / "cache"), Split(1, 2, helps=True))) == [3, 4, 5, 0]
    with pytest.raises(CacheError, match="working on split 1/2"):
        claim(writer_of(tmp_path / "cache"), Split(0, 2))
    assert list(claim(writer_of(tmp_path / "cache"), Split(1, 2))) == [3, 4, 5]


def test_finish_removes_a_lock_and_a_temporary_file_left_behind(
    tmp_path: Path, whole: dict[str, bytes]
) -> None:
    (tmp_path / "whole" / LOCK).touch()
    (tmp_path / "whole" / ".parts.npy.abcdefgh").write_bytes(b"half")
    work(tmp_path / "whole", None)
    writer_of(tmp_path / "whole").finish()
    assert contents(tmp_path / "whole") == whole


def test_writer_accepts_a_folder_left_by_a_kill_at_the_start(
    tmp_path: Path, whole: dict[str, bytes]
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / ".extraction.json.abcdefgh").write_bytes(b"{")
    writer_of(tmp_path / "cache").fill(parts_of, progress=False)
    assert contents(tmp_path / "cache") == whole


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3", ""])
def test_parse_refuses_a_malformed_split(text: str) -> None:
    with pytest.raises(DetectorError, match="give i/N"):
        Split.parse(text)


def test_from_launcher_reads_the_environment() -> None:
    assert Split.parse("2/4") == Split(1, 4)
    assert Split.from_launcher({}) is None
    assert Split.from_launcher({"RANK": "0", "WORLD_SIZE": "1"}) is None
    assert Split.from_launcher({"RANK": "3", "WORLD_SIZE": "8"}) == Split(3, 8, helps=True)


# --- concurrency -----------------------------------------------------------------------


def _begin(folder: Path, start, reported) -> None:
    for number in range(20):
        start.wait(30)
        try:
            reported.put(len(writer_of(folder / str(number)).pending()))
        except CacheError as error:
            reported.put(str(error))


def test_processes_that_start_together_share_one_folder(tmp_path: Path) -> None:
    start, reported = FORK.Barrier(4), FORK.Queue()
    ranks = [FORK.Process(target=_begin, args=(tmp_path, start, reported)) for _ in range(4)]
    for rank in ranks:
        rank.start()
    assert [reported.get(timeout=30) for _ in range(80)] == [6] * 80
    for rank in ranks:
        rank.join(30)


def test_writer_that_starts_while_another_finishes_finds_its_cache(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    work(tmp_path / "cache", None)
    other, looks = writer_of(tmp_path / "cache"), []

    def look(path: Path) -> dict:
        looks.append(path.name)
        try:
            return read_json(path)
        finally:
            if len(looks) == 1:  # before the first read returns, the other process finishes
                other.finish()

    monkeypatch.setattr("detector.cache.writer.read_json", look)
    assert writer_of(tmp_path / "cache").finished
    assert looks == [MANIFEST, PLAN, MANIFEST]
    assert contents(tmp_path / "cache") == whole


def test_writer_refuses_another_detector_that_starts_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(folder: Path):
        monkeypatch.undo()
        PartCacheWriter(folder, IMAGES, IDENTITY | {"weights": "other"})
        return beginning(folder)

    monkeypatch.setattr("detector.cache.writer.beginning", late)
    with pytest.raises(CacheError, match="weights is other there, None now"):
        writer_of(tmp_path / "cache")


def test_writer_keeps_the_files_of_a_user_in_the_folder(
    tmp_path: Path, whole: dict[str, bytes]
) -> None:
    work(tmp_path / "cache", None, stop_after=2)
    mine = {".notes.markdown": b"mine", "shard-notes.txt": b"mine", ".mine.json.abcdefgh": b"{"}
    for name, data in mine.items():
        (tmp_path / "cache" / name).write_bytes(data)
    for name in (".shard-00003.npy.abcdefgh", ".extraction.json.a_cdefg1", ".parts.npy.abcdefgh"):
        (tmp_path / "cache" / name).touch()  # left by a killed writer
    writer_of(tmp_path / "cache").fill(parts_of, progress=False)
    assert contents(tmp_path / "cache") == whole | mine


def test_num_failed_skips_a_damaged_shard_and_counts_the_others(
    tmp_path: Path, whole: dict[str, bytes]
) -> None:
    work(tmp_path / "cache", None)
    assert writer_of(tmp_path / "cache").shards.num_failed() == 1
    (tmp_path / "cache" / "shard-00000.json").write_text("x")
    assert writer_of(tmp_path / "cache").shards.num_failed() == 1
    (tmp_path / "cache" / "shard-00001.json").write_text("x")  # the shard with the bad image
    assert writer_of(tmp_path / "cache").shards.num_failed() == 0
    writer_of(tmp_path / "cache").fill(parts_of, progress=False)
    assert contents(tmp_path / "cache") == whole


# --- folders that are not writable -------------------------------------------------------------


@pytest.mark.parametrize("writes", range(9))
def test_a_full_disk_is_reported_and_the_next_run_resumes(
    tmp_path: Path, whole: dict[str, bytes], writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, left = os.fsync, [2 * writes]

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr("detector.common.files.os.fsync", full)
    with pytest.raises(
        CacheError, match=r"cannot write to .*No space left on device.*the same command resumes"
    ):
        writer_of(tmp_path / "cache").fill(parts_of, progress=False)
    monkeypatch.undo()
    assert not (tmp_path / "cache" / MANIFEST).exists()
    writer_of(tmp_path / "cache").fill(parts_of, progress=False)
    assert contents(tmp_path / "cache") == whole


def test_a_read_only_folder_serves_a_finished_cache_but_no_new_one(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    work(tmp_path / "begun", None, stop_after=1)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for call in ("mkdir", "open", "unlink", "replace", "remove"):
        monkeypatch.setattr(f"detector.cache.writer.os.{call}", refuse)
    for folder in ("begun", "new"):
        with pytest.raises(CacheError, match=r"cannot write to .*Read-only file system"):
            writer_of(tmp_path / folder).fill(parts_of, progress=False)
    cache = writer_of(tmp_path / "whole").fill(parts_of, progress=False)
    assert len(PartCache.open(cache.path)) == len(IMAGES)
