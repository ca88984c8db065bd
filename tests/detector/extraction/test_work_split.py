"""Several processes on one extraction: shares, locks, what a dead one leaves, what cannot be written."""

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
from detector.extraction.work_split import Share, claim

IDENTITY = {"classes": ["wheel", "plate"], "max_parts": 3}
IMAGES = [f"{number:03d}.jpg" for number in range(22)]
FORK = multiprocessing.get_context("fork")


def parts_of(image: str) -> Parts | str:
    """Made of the image's name, so that every process finds the same."""
    number = int(image[:3])
    if number == 7:
        return "the file is empty"
    corners = np.array([[1, 1, 5, 5], [2, 0, 9, 4]], np.float32)[: number % 3]
    scores, labels = np.array([0.9, 0.5], np.float32), np.array([0, 1])
    return Parts(corners, scores[: number % 3], labels[: number % 3], (10, 20))


def writer_of(folder: Path) -> PartCacheWriter:
    return PartCacheWriter(folder, IMAGES, IDENTITY, {"config": "x"}, shard_size=4)


def work(folder: Path, share: Share | None, stop_after: int | None = None) -> list[int]:
    """Extract a share's shards, or as many of them as a process does before it dies."""
    writer, done = writer_of(folder), []
    for shard in claim(writer, share):
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
def test_shares_cover_all_shards_once_and_evenly(count: int) -> None:
    owned = [Share(index, count).own(6) for index in range(count)]
    assert sorted(shard for own in owned for shard in own) == list(range(6))
    assert max(map(len, owned)) - min(map(len, owned)) <= 1


@pytest.mark.parametrize("helps", [False, True])
def test_shares_make_the_cache_that_one_process_makes(
    tmp_path: Path, whole: dict[str, bytes], helps: bool
) -> None:
    done = [work(tmp_path / "cache", Share(index, 3, helps), 2) for index in (2, 0, 1)]
    assert done == [[4, 5], [0, 1], [2, 3]]
    writer_of(tmp_path / "cache").finish()
    assert contents(tmp_path / "cache") == whole


def test_what_a_dead_rank_left_the_others_take_up(tmp_path: Path, whole: dict[str, bytes]) -> None:
    assert work(tmp_path / "cache", Share(0, 2, helps=True), stop_after=1) == [0]
    assert work(tmp_path / "cache", Share(1, 2, helps=True)) == [3, 4, 5, 1, 2]
    assert work(tmp_path / "cache", Share(0, 2, helps=True)) == []
    writer_of(tmp_path / "cache").finish()
    assert contents(tmp_path / "cache") == whole


def _hold(folder: Path, shards: range | None, ready, leave) -> None:
    assert writer_of(folder).take(shards)
    ready.set()
    leave.wait(30)
    os._exit(1)


@pytest.fixture
def other_process(tmp_path: Path):
    """``start(shards)``: another process takes those, and dies when the test ends."""
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


def test_a_second_writer_is_refused_and_nothing_changes(tmp_path: Path, other_process) -> None:
    work(tmp_path / "cache", None, stop_after=2)
    other_process(None)
    before = contents(tmp_path / "cache")
    for attempt in (None, Share(0, 2)):
        with pytest.raises(CacheError, match="another process is"):
            claim(writer_of(tmp_path / "cache"), attempt)
    with pytest.raises(CacheError, match="another process is writing to it"):
        writer_of(tmp_path / "cache").finish()
    assert list(claim(writer_of(tmp_path / "cache"), Share(0, 2, helps=True))) == []
    assert contents(tmp_path / "cache") == before


def test_ranks_leave_each_other_what_they_are_at_work_on(tmp_path: Path, other_process) -> None:
    other_process(range(1, 3))
    assert list(claim(writer_of(tmp_path / "cache"), Share(1, 2, helps=True))) == [3, 4, 5, 0]
    with pytest.raises(CacheError, match="at work on share 1/2"):
        claim(writer_of(tmp_path / "cache"), Share(0, 2))
    assert list(claim(writer_of(tmp_path / "cache"), Share(1, 2))) == [3, 4, 5]


def test_a_lock_that_is_opened_after_the_end_is_removed(
    tmp_path: Path, whole: dict[str, bytes]
) -> None:
    (tmp_path / "whole" / LOCK).touch()
    (tmp_path / "whole" / ".parts.npy.abcdefgh").write_bytes(b"half")
    work(tmp_path / "whole", None)
    writer_of(tmp_path / "whole").finish()
    assert contents(tmp_path / "whole") == whole


def test_a_folder_left_by_a_kill_at_the_very_start_is_ours(
    tmp_path: Path, whole: dict[str, bytes]
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / ".extraction.json.abcdefgh").write_bytes(b"{")
    writer_of(tmp_path / "cache").fill(parts_of, progress=False)
    assert contents(tmp_path / "cache") == whole


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3", ""])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DetectorError, match="give i/n"):
        Share.parse(text)


def test_a_launcher_is_found_by_its_environment() -> None:
    assert Share.parse("2/4") == Share(1, 4)
    assert Share.of_launcher({}) is None
    assert Share.of_launcher({"RANK": "0", "WORLD_SIZE": "1"}) is None
    assert Share.of_launcher({"RANK": "3", "WORLD_SIZE": "8"}) == Share(3, 8, helps=True)


# --- at the same moment -----------------------------------------------------------------------


def _begin(folder: Path, start, told) -> None:
    for number in range(20):
        start.wait(30)
        try:
            told.put(len(writer_of(folder / str(number)).pending()))
        except CacheError as error:
            told.put(str(error))


def test_processes_that_begin_at_once_all_find_the_folder_theirs(tmp_path: Path) -> None:
    start, told = FORK.Barrier(4), FORK.Queue()
    ranks = [FORK.Process(target=_begin, args=(tmp_path, start, told)) for _ in range(4)]
    for rank in ranks:
        rank.start()
    assert [told.get(timeout=30) for _ in range(80)] == [6] * 80
    for rank in ranks:
        rank.join(30)


def test_who_begins_while_another_ends_finds_its_cache(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    work(tmp_path / "cache", None)
    other, looks = writer_of(tmp_path / "cache"), []

    def look(path: Path) -> dict:
        looks.append(path.name)
        try:
            return read_json(path)
        finally:
            if len(looks) == 1:  # neither is there when it is looked for
                other.finish()

    monkeypatch.setattr("detector.cache.writer.read_json", look)
    assert writer_of(tmp_path / "cache").finished
    assert looks == [MANIFEST, PLAN, MANIFEST]
    assert contents(tmp_path / "cache") == whole


def test_another_detector_that_begins_at_once_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(folder: Path):
        monkeypatch.undo()
        PartCacheWriter(folder, IMAGES, IDENTITY | {"weights": "other"})
        return beginning(folder)

    monkeypatch.setattr("detector.cache.writer.beginning", late)
    with pytest.raises(CacheError, match="weights is other there, None now"):
        writer_of(tmp_path / "cache")


def test_files_of_a_user_in_the_folder_stay(tmp_path: Path, whole: dict[str, bytes]) -> None:
    work(tmp_path / "cache", None, stop_after=2)
    mine = {".notes.markdown": b"mine", "shard-notes.txt": b"mine", ".mine.json.abcdefgh": b"{"}
    for name, data in mine.items():
        (tmp_path / "cache" / name).write_bytes(data)
    for name in (".shard-00003.npy.abcdefgh", ".extraction.json.a_cdefg1", ".parts.npy.abcdefgh"):
        (tmp_path / "cache" / name).touch()  # a killed writer's
    writer_of(tmp_path / "cache").fill(parts_of, progress=False)
    assert contents(tmp_path / "cache") == whole | mine


def test_a_damaged_note_of_a_shard_does_not_keep_the_others_from_being_counted(
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


# --- where nothing can be written -------------------------------------------------------------


@pytest.mark.parametrize("writes", range(9))
def test_a_full_disk_is_one_sentence_and_the_next_run_goes_on(
    tmp_path: Path, whole: dict[str, bytes], writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, left = os.fsync, [2 * writes]

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr("detector.common.files.os.fsync", full)
    with pytest.raises(CacheError, match=r"cannot write to .*No space left on device.*goes on"):
        writer_of(tmp_path / "cache").fill(parts_of, progress=False)
    monkeypatch.undo()
    assert not (tmp_path / "cache" / MANIFEST).exists()
    writer_of(tmp_path / "cache").fill(parts_of, progress=False)
    assert contents(tmp_path / "cache") == whole


def test_a_read_only_folder_serves_a_cache_and_refuses_to_make_one(
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
