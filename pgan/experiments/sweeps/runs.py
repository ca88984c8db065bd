"""Running a sweep: every training and its tests once, side by side where there are GPUs."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from detector.common.locks import exclusive_lock
from pgan.errors import ConfigError
from pgan.experiments.steps import run_command
from pgan.experiments.sweeps.plan import Job, Run, SweepError, plan
from pgan.experiments.sweeps.points import Sweep
from pgan.experiments.sweeps.progress import Progress, fraction_done
from pgan.experiments.sweeps.results import SweepResults, scores

_INTERRUPTED = 130  # what a tool returns when it was


def run_sweep(
    sweep: Sweep,
    work_dir: str | os.PathLike[str],
    jobs: int | None = None,
    gpus_per_run: int = 1,
    metric: str = "mAP",
) -> SweepResults:
    """Run what of a sweep is not finished, and write its table and plot into ``work_dir``.

    An interrupted call resumes when it is repeated: finished runs are kept, the others resume from their last
    checkpoint. Table and plot are written even then, of what there is.

    Args:
        sweep: Points and seeds.
        work_dir: Folder of all runs.
        jobs: Runs side by side; None for one on each GPU, or one at a time without a GPU.
        gpus_per_run: GPUs that train one run together, by torch's launcher; each takes a whole batch.
        metric: What the best point is chosen by, and what is plotted.

    Raises:
        ConfigError: A config or option that cannot be used: before anything is run.
        SweepError: A folder holds another run, or runs failed.
    """
    planned = plan(sweep, work_dir)
    runner = Runner(planned, places(jobs, gpus_per_run), gpus_per_run, metric)
    try:
        runner.run()
    finally:
        results = SweepResults.collect(sweep, planned, metric)
        results.write(work_dir)
    return results


def places(jobs: int | None = None, gpus_per_run: int = 1) -> list[dict[str, str]]:
    """Where runs can be, side by side: for each place, variables of its environment.

    Args:
        jobs: How many; None for one on each GPU, or a single one without a GPU.
        gpus_per_run: GPUs of a place.

    Raises:
        ConfigError: A number below 1, or fewer GPUs than that.
    """
    if (jobs is not None and jobs < 1) or gpus_per_run < 1:
        raise ConfigError("--jobs and --gpus-per-run are 1 or more")
    import torch  # takes seconds, which a look at the options should not

    count = torch.cuda.device_count()
    if gpus_per_run > max(count, 1):
        raise ConfigError(f"--gpus-per-run {gpus_per_run}: torch sees {count} GPUs")
    if not count:
        if jobs in (None, 1) or "OMP_NUM_THREADS" in os.environ:
            return [{}] * (jobs or 1)
        # Or else each would take all cores, and wait for the others.
        return [{"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))}] * jobs
    numbers = ",".join(map(str, range(count)))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", numbers).split(",")[:count]
    starts = range(0, count - gpus_per_run + 1, gpus_per_run)
    groups = [",".join(visible[start : start + gpus_per_run]) for start in starts]
    return [{"CUDA_VISIBLE_DEVICES": groups[i % len(groups)]} for i in range(jobs or len(groups))]


class Runner:
    """Runs the jobs of a sweep, each in the next free place.

    A run that fails stops no other, unless it is the first to end: then nothing is known to work, and no
    further one is begun.

    Args:
        jobs: Of `pgan.experiments.sweeps.plan.plan`.
        places: Of `places`.
        gpus_per_run: GPUs of a place.
        metric: What a finished run is announced by.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        places: Sequence[Mapping[str, str]],
        gpus_per_run: int = 1,
        metric: str = "mAP",
    ) -> None:
        self.pending = [job for job in jobs if job.pending()]
        self.gpus_per_run, self.metric = gpus_per_run, metric
        total = sum(len(job.runs) for job in jobs)
        left = sum(len(job.pending()) for job in jobs)
        self.progress = Progress(total, total - left, len(self.pending))
        self.free: queue.SimpleQueue[Mapping[str, str]] = queue.SimpleQueue()
        for place in places:
            self.free.put(place)
        self.workers = len(places)
        self.processes: list[subprocess.Popen] = []
        self.outcomes: list[bool] = []  # whether each finished training run succeeded
        self.stopped = False

    def run(self) -> None:
        """Run what is pending.

        Raises:
            SweepError: Runs failed; raised once the others have ended.
            KeyboardInterrupt: Interrupted or terminated; what was running has been ended.
        """
        if self.progress.done:
            self.progress.say(f"{self.progress.done} of {self.progress.total} runs done before")
        pool = ThreadPoolExecutor(self.workers)
        try:
            with _termination_interrupts():
                failures = self._wait({pool.submit(self._run, job) for job in self.pending})
        finally:
            self._stop()
            pool.shutdown(cancel_futures=True)
        if failures:
            ended, pending = len(self.outcomes), len(self.pending)
            left = "" if ended == pending else f" and {pending - ended} were not begun"
            raise SweepError(
                f"{len(failures)} of {pending} training runs failed{left}: {failures[0]}"
            )

    def _wait(self, futures: set[Future]) -> list[str]:
        failures: list[str] = []
        while futures:
            done, futures = wait(futures, return_when=FIRST_COMPLETED)
            for future in done:
                error = future.exception()
                if isinstance(error, SweepError):
                    failures.append(str(error))
                    self.progress.say(f"failed: {error}")
                elif error is not None:
                    raise error
        return failures

    def _stop(self) -> None:
        self.stopped = True
        for process in self.processes:
            process.terminate()

    def _started(self, process: subprocess.Popen) -> None:
        self.processes.append(process)
        if self.stopped:
            process.terminate()

    def _run(self, job: Job) -> None:
        if self.outcomes[:1] == [False]:
            return
        place = self.free.get()
        try:
            with exclusive_lock(job.folder.path, SweepError) as lock:
                self._train_and_test(job, place, lock)
            self.outcomes.append(True)
        except SweepError:
            self.outcomes.append(False)
            raise
        except BaseException:
            self.stopped = True  # at once, before the next job is begun
            raise
        finally:
            self.free.put(place)

    def _train_and_test(self, job: Job, place: Mapping[str, str], lock: int) -> None:
        pending = job.pending()
        job.folder.claim()
        if not job.checkpoint.is_file():
            self._call(job, job.train_command(self.gpus_per_run), "train", place, lock)
        for run in pending:
            done = self._test(job, run, place, lock) if job.tested else "trained"
            self.progress.finished(run.title, done)
        self.progress.update(job.title, 1.0)

    def _test(self, job: Job, run: Run, place: Mapping[str, str], lock: int) -> str:
        run.folder.claim()
        self._call(job, job.test_command(run), "test", place, lock)
        return self._score(run)

    def _call(
        self, job: Job, command: list[str], what: str, place: Mapping[str, str], lock: int
    ) -> None:
        if self.stopped:
            raise KeyboardInterrupt
        title = job.title
        log = job.folder.path / f"{what}.log"
        begin = log.stat().st_size if log.is_file() else 0
        if what == "train":
            self.progress.say(f"{title}: training, its output goes to {log}")

        def show(line: str) -> None:
            done = fraction_done(line, job.max_epochs)
            if done is not None:
                # The test is still to come.
                self.progress.update(title, min(done, 0.99), line)

        code = run_command(
            command,
            log,
            show,
            self._started,
            stderr=subprocess.STDOUT,
            env=place,
            pass_fds=(lock,),
        )
        if self.stopped or code == _INTERRUPTED:
            raise KeyboardInterrupt
        if code:
            raise SweepError(f"{title}: {_last_words(log, begin)} (its output is in {log})")

    def _score(self, run: Run) -> str:
        results = run.results()
        if results is None:
            raise SweepError(f"{run.title}: tools/test.py left no results in {run.folder.path}")
        found = scores(results)
        if self.metric not in found:
            raise SweepError(
                f"{run.title}: was not scored by {self.metric!r}, but by {', '.join(found)}"
            )
        return f"{self.metric} {found[self.metric]:.1f}"


def _last_words(log: Path, begin: int) -> str:
    """Why a command failed: the sentence that it ended with, or else its last line."""
    with log.open("rb") as file:
        file.seek(begin)
        lines = file.read().decode(errors="replace").split("\n")
    lines = [line.strip() for line in lines if line.strip()] or ["it printed nothing"]
    sentences = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (sentences or lines)[-1]


@contextmanager
def _termination_interrupts() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that no training run is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
