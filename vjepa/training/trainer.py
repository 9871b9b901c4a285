"""The training loop, which is the same for all objectives.

The metrics of a step (loss, gradient norm, stop request) are averaged over processes in one small tensor and
read one step later, when the device has long finished it: no step waits for the host. All processes read the
same numbers, so they agree on non-finite losses and on stopping without further communication. A process that
was asked to stop reads the metrics of the step at once; if all were asked, as by a launcher, that step is the
last. Statistics of the whole batch (`BatchMetric`, collapse measures) need more communication, and only
logged steps have them.

A measurement (`vjepa.training.measurements`) is taken after the step and before its checkpoint, by the main
process while the others wait. It reads the weights and changes nothing: a run takes the same steps with and
without it. A measured step is logged.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from torch import Tensor, nn

from vjepa.batch import Batch, LabelledBatch, TrajectoryBatch
from vjepa.choices import Kind
from vjepa.config import OptimConfig, TrainConfig
from vjepa.evaluation.collapse import embedding_measures
from vjepa.evaluation.collapse_alarm import CollapseAlarm, Cures
from vjepa.objectives.base import Objective
from vjepa.objectives.batch_metric import BatchMetric, of_whole_batch
from vjepa.seeding import random_state_kept
from vjepa.sharded import whole
from vjepa.training.alone import alone
from vjepa.training.checkpoint import Checkpoints
from vjepa.training.errors import NonFiniteError, SaveError
from vjepa.training.host_copy import HostCopy
from vjepa.training.measurements import Measurements
from vjepa.training.optimizer import Schedules
from vjepa.training.pace import HangWatch, Pace
from vjepa.training.progress import Progress
from vjepa.training.run_folder import RunFolder, metrics_of
from vjepa.training.stop import Stopped, StopRequest, answering_signals
from vjepa.training.unreadable import UnreadableVideos
from vjepa.training.update_size import UpdateSize


@dataclass
class StepReport:
    """Metrics and embeddings of one step; the embeddings are still on the device.

    Attributes:
        step: Number of steps taken, this one included.
        names: Names of the metrics.
        metrics: Metrics of the whole batch, in the order of `names`.
        may_lack: Names of metrics that may be undefined (NaN) at a step, such as a ratio to zero; the log
            then omits them.
        local_loss: Loss of this process alone, to find the process whose files led to a non-finite loss.
        asked: Whether this process was asked to stop before the step ended.
        embeddings: Outputs of this process whose names end in ``_BD``, by name; one row for each clip. Empty
            unless the step is logged.
        paths: Files in this process's share of the batch.
        kind: Kind of the batch, videos or images.
    """

    step: int
    names: list[str]
    metrics: HostCopy
    may_lack: list[str]
    local_loss: Tensor
    asked: bool
    embeddings: dict[str, Tensor]
    paths: list[str]
    kind: Kind


class Trainer:
    """Trains an objective, with checkpoints, metrics and alarms.

    Args:
        accelerator: Accelerator of the run; its `gradient_accumulation_steps` is the number of micro-batches
            of a step.
        objective: Objective, prepared by the accelerator.
        optimizer: Optimiser, prepared by the accelerator.
        batches: Function of the number of steps taken that returns this process's micro-batches from there
            on.
        unreadable: Policy on videos that cannot be read.
        folder: Folder of the run.
        optim: Number of steps, and settings of the optimiser.
        train: Section `train` of the configuration.
        remedy: Advice on which settings to change if the loss is not finite, for the error message.
        measurements: What is measured during training, and what follows from it. None measures nothing.
        cures: Settings that cure each cause of a collapse, for the alarm. None names no settings.
    """

    def __init__(
        self,
        *,
        accelerator: Accelerator,
        objective: nn.Module,
        optimizer: torch.optim.Optimizer,
        batches: Callable[[int], Iterable[Batch | LabelledBatch | TrajectoryBatch]],
        unreadable: UnreadableVideos,
        folder: RunFolder,
        optim: OptimConfig,
        train: TrainConfig,
        remedy: str,
        measurements: Measurements | None = None,
        cures: Cures | None = None,
    ) -> None:
        self.accelerator = accelerator
        self.objective = objective
        self.optimizer = optimizer
        self.batches = batches
        self.unreadable = unreadable
        self.folder = folder
        self.optim = optim
        self.train = train
        self.remedy = remedy
        self.cures = cures
        self.measurements = measurements or Measurements.none()
        self.schedules = Schedules(optim)
        self.checkpoints = Checkpoints(
            folder.checkpoints, train.keep_checkpoints, self.measurements.needed_by
        )
        self.alarms: dict[Kind, CollapseAlarm] = {}
        self.step = 0
        self.pace = Pace(accelerator)
        self.hang_watch = HangWatch(train.hang_minutes)

    def fit(self) -> None:
        """Train to the last step, from the latest checkpoint if there is one.

        Measurements may end the run earlier. The objective then has the weights of the last step taken, or
        those of the best measurement.

        Raises:
            Stopped: The process was asked to stop; a checkpoint is saved.
            SaveError: A checkpoint cannot be written.
            NonFiniteError: The loss or the gradient of a step is not finite.
            UnreadableVideosError: More videos are unreadable than allowed.
            ValueError: The run is past the last step already, has checkpoints of which none is whole, or
                lacks that of the best measurement.
        """
        with answering_signals() as request, request.finishing("step"):
            progress = Progress(self.optim.steps, self._resume(), self.accelerator.is_main_process)
            self.unreadable.say = progress.say
            self.pace.start()
            self.objective.train()
            batches = iter(self.batches(self.step))
            try:
                with self.hang_watch:
                    self._take_steps(batches, request, progress)
            finally:
                progress.close()
                if isinstance(batches, Generator):
                    batches.close()  # Ends the loader's worker processes.
        self._take_best()

    def _take_steps(
        self,
        batches: Iterator[Batch | LabelledBatch | TrajectoryBatch],
        request: StopRequest,
        progress: Progress,
    ) -> None:
        previous: StepReport | None = None
        while not self._ended():
            report = self._train_step(batches, request)
            self.hang_watch.step_ended()
            progress.advance()
            stopping = self._stops(previous, report)
            previous = report
            measured = self._measure(report, progress)
            if self._logs(report.kind, self.step):
                self._log(report, measured, progress)
            if stopping or self._saves():
                self._check(report)
                self._save()
            if stopping:
                raise Stopped(self.step)
            if self.measurements.exhausted and self.step < self.optim.steps:
                progress.say(self.measurements.reason)

    def _stops(self, previous: StepReport | None, report: StepReport) -> bool:
        """Return whether this step is the last.

        It is if all processes were asked to stop before it ended, or one before the previous step ended.
        """
        if previous is not None and self._check(previous) > 0:
            return True
        return report.asked and self._check(report) == 1

    def _ended(self) -> bool:
        """Return whether no further step is taken."""
        return self.step >= self.optim.steps or self.measurements.exhausted

    def _due(self, every: int, step: int) -> bool:
        return step % every == 0 or step == self.optim.steps

    def _logs(self, kind: Kind, step: int) -> bool:
        """Return whether a step is logged; the first of a kind always is, as the baseline of its alarm."""
        measured = self.measurements.due(step, self.optim.steps)
        return kind not in self.alarms or self._due(self.train.log_every, step) or measured

    def _saves(self) -> bool:
        """Return whether a checkpoint is due: regularly, at the end, and at the best one if that is kept."""
        is_best = self.measurements.needed_by(self.step) == self.step
        return self._due(self.train.checkpoint_every, self.step) or self._ended() or is_best

    def _measure(self, report: StepReport, progress: Progress) -> dict[str, float]:
        """Measure the objective if that is due; every process must call this.

        Returns:
            The metric by its name; empty if nothing is due.
        """
        measurements = self.measurements
        if not measurements.due(self.step, self.optim.steps):
            return {}
        self._check(report)
        with self.pace.paused():
            state = self.accelerator.get_state_dict(self.objective)
            with random_state_kept():
                value = alone(self.accelerator, lambda: measurements.measure(state, progress.say))
            (value,) = broadcast_object_list([value])
        measurements.add(self.step, value)
        return {measurements.name: value}

    def _take_best(self) -> None:
        """Load the weights of the best measurement, if the run ends with them."""
        if not self.measurements.keep_best:
            return
        best = self.measurements.best
        otherwise = "set train.keep_best to false to take the weights of the last step"
        if best is None:
            raise ValueError(
                f"{self.folder.path} took all of its steps without a measurement, so there is no best one: "
                f"{otherwise}, or give more steps"
            )
        if best.step != self.step:
            self.checkpoints.load(self.accelerator, best.step, f"bring it back from a copy, or {otherwise}")
            self.accelerator.print(
                f"takes the weights of step {best.step}, the best of all that were measured"
            )

    def _train_step(
        self, batches: Iterator[Batch | LabelledBatch | TrajectoryBatch], request: StopRequest
    ) -> StepReport:
        """Take one optimiser step, with gradients accumulated over its micro-batches."""
        self.schedules.apply(self.optimizer, self.step)
        outputs: list[dict[str, Tensor | BatchMetric]] = []
        paths: list[str] = []
        size: UpdateSize | None = None
        for _ in range(self.accelerator.gradient_accumulation_steps):
            batch = self.pace.next_of(batches).to(self.accelerator.device)
            kind = batch.kind if isinstance(batch, Batch) else "videos"
            self.unreadable.note(batch.failures, batch.damaged)
            paths.extend(batch.paths)
            with self.accelerator.accumulate(self.objective):
                output = self.objective(batch)
                self.accelerator.backward(output["loss"])
                if self.accelerator.sync_gradients:
                    limit = math.inf if self.optim.clip_grad is None else self.optim.clip_grad
                    norm = self.accelerator.clip_grad_norm_(self.objective.parameters(), limit)
                    logs = self._logs(kind, self.step + 1)
                    size = UpdateSize(self.objective.parameters()) if logs else None
                self.optimizer.step()
                self.optimizer.zero_grad()
            outputs.append({name: _without_gradient(value) for name, value in output.items()})
        self.step += 1
        self.pace.count(len(paths))
        if not self.accelerator.optimizer_step_was_skipped:
            cast(Objective, self.accelerator.unwrap_model(self.objective)).after_step(self.step)
        return self._report(outputs, cast(Tensor, norm), request, paths, kind, size)

    def _report(
        self,
        outputs: list[dict[str, Tensor | BatchMetric]],
        norm: Tensor,
        request: StopRequest,
        paths: list[str],
        kind: Kind,
        size: UpdateSize | None,
    ) -> StepReport:
        """Gather the metrics of a step; `size` is that of its update, None if the step is not logged."""
        by_name = {name: [output[name] for output in outputs] for name in outputs[0]}
        scalars = {
            name: torch.stack([cast(Tensor, value).float() for value in values]).mean()
            for name, values in by_name.items()
            if isinstance(values[0], Tensor) and values[0].ndim == 0
        }
        local_loss = scalars["loss"]
        scalars["grad_norm"] = whole(norm).float()
        asked = request.requested  # Read once: it may change meanwhile.
        scalars["stop"] = torch.full_like(local_loss, float(asked))
        names, metrics = list(scalars), self._over_processes(torch.stack(list(scalars.values())))
        statistics: dict[str, Tensor] = {}
        embeddings: dict[str, Tensor] = {}
        if size is not None:
            statistics = {
                name: of_whole_batch(cast(list[BatchMetric], values), self._over_processes)
                for name, values in by_name.items()
                if isinstance(values[0], BatchMetric)
            }
            change, weights = self._over_processes(size.squares())
            statistics["relative_update"] = (change / weights).sqrt()
            names, metrics = [*names, *statistics], torch.stack([*metrics, *statistics.values()])
            embeddings = {
                name: torch.cat(cast(list[Tensor], values))
                for name, values in by_name.items()
                if name.endswith("_BD")
            }
        return StepReport(
            self.step, names, HostCopy(metrics), list(statistics), local_loss, asked, embeddings, paths, kind
        )

    def _over_processes(self, local: Tensor) -> Tensor:
        if self.accelerator.num_processes == 1:
            return local
        return cast(Tensor, self.accelerator.reduce(local, reduction="mean"))

    def _check(self, report: StepReport) -> float:
        """Return the share of processes that were asked to stop, or raise NonFiniteError."""
        metrics = dict(zip(report.names, report.metrics.read(), strict=True))
        # With fp16 a gradient that overflows is normal: the scaler skips the step and tries a smaller scale.
        watched = ["loss"] if self.accelerator.mixed_precision == "fp16" else ["loss", "grad_norm"]
        broken = [f"{name} is {metrics[name]}" for name in watched if not math.isfinite(metrics[name])]
        if broken:
            mine = not math.isfinite(report.local_loss.item()) or self.accelerator.num_processes == 1
            files = ", ".join(sorted(set(report.paths))) if mine else "another process's"
            kept = self.checkpoints.steps()
            raise NonFiniteError(
                f"step {report.step}: {' and '.join(broken)}. The batch's files: {files}. "
                f"The last good checkpoint is of step {kept[-1] if kept else 0}. Look at those files, "
                f"{self.remedy}, then run again"
            )
        return metrics["stop"]

    def _log(self, report: StepReport, measured: dict[str, float], progress: Progress) -> None:
        self._check(report)
        metrics = dict(zip(report.names, report.metrics.read(), strict=True))
        del metrics["stop"]
        for name in report.may_lack:
            if math.isnan(metrics[name]):
                del metrics[name]
        measures: dict[str, float] = {}
        for name, local_BD in report.embeddings.items():
            embedding_BD = cast(Tensor, self.accelerator.gather(local_BD))
            tokens = name.removesuffix("_BD")
            measures |= {f"{tokens}/{key}": value for key, value in embedding_measures(embedding_BD).items()}
        record: dict[str, Any] = {
            "step": report.step,
            "kind": report.kind,
            **metrics,
            **measures,
            **measured,
            "lr": self.schedules.lr(report.step - 1),
            "weight_decay": self.schedules.weight_decay(report.step - 1),
            "unreadable": self.unreadable.agree(),
            "damaged": len(self.unreadable.damage),
            **self.pace.read(),
        }
        # Embeddings of images and of videos vary by different amounts, so each kind has its own alarm.
        alarms = self.alarms.setdefault(report.kind, CollapseAlarm())
        alarm = alarms.update(metrics | measures, self.cures)
        if alarm and len(self.alarms) > 1:
            alarm = dataclasses.replace(alarm, message=f"steps on {report.kind}: {alarm.message}")
        if self.accelerator.is_main_process:
            self.folder.log(record | ({"alarm": dataclasses.asdict(alarm)} if alarm else {}))
            progress.show(record)
        if alarm:
            progress.say(alarm.message)
        self.accelerator.log(_curves(record) | measured, step=report.step)

    def _save(self) -> None:
        self.unreadable.agree()
        state = {
            "step": self.step,
            "alarms": {kind: dataclasses.asdict(alarm) for kind, alarm in self.alarms.items()},
            "unreadable": self.unreadable.causes,
            "damaged": self.unreadable.damage,
            "measurements": self.measurements.state(),
        }
        try:
            self.checkpoints.save(self.accelerator, self.step, state)
        except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors raise the last two.
            raise SaveError(self._unsaved(error)) from error

    def _unsaved(self, error: Exception) -> str:
        folder, kept = self.checkpoints.folder, self.checkpoints.steps()
        space = shutil.disk_usage(folder.parent).free / 1e6
        return (
            f"the checkpoint of step {self.step} cannot be written to {folder}, whose disk has {space:.0f} "
            f"MB left ({str(error).splitlines()[0]}). Make room, then run the same command again: it goes on "
            f"after step {kept[-1] if kept else 0}"
        )

    def _resume(self) -> int:
        """Restore the latest checkpoint, if there is one; return the number of steps taken."""
        state = self.checkpoints.load_latest(self.accelerator)
        if state is not None:
            self.step = state["step"]
            self._restore_measurements(state["measurements"])
            reason = "all steps are taken" if self.step >= self.optim.steps else self.measurements.reason
            left = f": {reason}; the model is saved and measured" if self._ended() else ""
            self.accelerator.print(f"goes on after step {self.step} of {self.optim.steps}{left}")
            self.alarms = {kind: CollapseAlarm(**alarm) for kind, alarm in state["alarms"].items()}
            self.unreadable.restore(state["unreadable"], state["damaged"])
        if self.step > self.optim.steps:
            raise ValueError(
                f"{self.folder.path} is at step {self.step} already, and the settings ask for "
                f"{self.optim.steps} steps: raise optim.steps (optim.epochs of a fine-tuning)"
            )
        if self.accelerator.is_main_process:
            self.folder.forget_after(self.step, self.accelerator.print)
        return self.step

    def _restore_measurements(self, state: dict[str, Any]) -> None:
        """Take the measurements of a checkpoint, unless new ones cannot be compared with them.

        A run that takes no further step keeps them all the same, since it has no others.
        """
        comparable = self.measurements.restore(state)
        best = self.measurements.needed_by(self.step)
        if not comparable:
            cause = "what is measured has changed"
        elif best is not None and not self.checkpoints.path_of(best).is_dir():
            cause = f"the checkpoint of step {best}, the best of them, was not kept"
        else:
            return
        if not self._ended():
            self.measurements.history.clear()
            self.accelerator.print(f"measurements up to step {self.step} no longer count: {cause}")


def _curves(record: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics of a record for trackers; those of steps on images get names of their own."""
    prefix = "images/" if record["kind"] == "images" else ""
    return {prefix + key: value for key, value in metrics_of(record).items()}


def _without_gradient(value: Tensor | BatchMetric) -> Tensor | BatchMetric:
    return value.detach() if isinstance(value, Tensor) else value
