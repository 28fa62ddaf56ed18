"""The stages in order: what is next, what each does, how a run ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from hegelion_core import checklist, events, pressure, workspace
from hegelion_core.completion import Completion
from hegelion_core.errors import ExitCode, UserError, explain
from hegelion_core.event_log import EventLog
from hegelion_core.events import Stage
from hegelion_core.generation.call_folders import CallFolders
from hegelion_core.generation.claims import Claims
from hegelion_core.generation.dialogue import plan_of
from hegelion_core.generation.generator import Generator
from hegelion_core.generation.prompts import read_prompts
from hegelion_core.generation.sources import is_light, prepare
from hegelion_core.generation.store import SampleStore
from hegelion_core.jobs import Jobs, WorkerDied
from hegelion_core.redaction import Redactor
from hegelion_core.settings import Settings, TeacherSettings
from hegelion_core.supervisor import Supervisor
from hegelion_core.teachers.choose import make_teacher
from hegelion_core.teachers.teacher import Teacher, TeacherFault
from hegelion_core.training.restarts import Restarts, Sizes, cause_of
from hegelion_core.workspace import RunFolder, Workspace

_GUIDE_NAMES = (("generator_ultrafeedback.log", "generator_pid.txt"), ("generator_instance2.log", "generator2_pid.txt"))
"""What the operations guide calls the log and the process id of the first two instances."""


class Pipeline:
    """The stages of one run, on one event log."""

    def __init__(
        self,
        place: Workspace,
        run: RunFolder,
        settings: Settings,
        supervisor: Supervisor,
        log: EventLog,
        *,
        anew: bool = False,
    ) -> None:
        """``anew``: nothing is taken from other runs."""
        self._place = place
        self._run = run
        self._settings = settings
        self._supervisor = supervisor
        self._log = log
        self._jobs = Jobs(place, run, settings, supervisor, log)
        self._generator: Generator | None = None
        self._instances = settings.generation.instances
        self._completion = Completion(place, run, settings, anew=anew)
        self._opening = asyncio.Lock()
        self._samples = place.resolve(settings.generation.output)
        self._work: dict[Stage, Callable[[], Awaitable[str]]] = {
            "check": self._check,
            "generate": self._generate,
            "convert": self._convert,
            "train": self._train,
            "evaluate": self._evaluate,
        }

    @property
    def instances(self) -> int:
        """Generator instances that are wanted."""
        return self._instances

    def scale(self, instances: int) -> None:
        """Change the number of generator instances, now and for a later generation of this core."""
        self._instances = instances
        if self._generator is not None:
            self._generator.scale(instances)

    def stop_instance(self, number: int) -> None:
        """Stop one generator instance, now and for a later generation of this core.

        Raises:
            UserError: it is not at work, or the only one that is.
        """
        if self._generator is None:
            raise UserError("Nothing is being generated.", "There is no generator to stop.", ExitCode.NOT_READY)
        self._instances = self._generator.stop_instance(number)

    async def recount(self) -> None:
        """Count the samples again, since decisions were made by hand; whoever generates goes by the new count.

        Raises:
            UserError: the file cannot be read.
        """
        async with self._opening:
            if self._completion.opened:
                store = self._completion.samples()
            else:
                store = await asyncio.to_thread(self._completion.samples)
        self._log.publish(store.counted())
        if self._generator is not None:
            self._generator.look_again()

    async def run(self, stages: Sequence[Stage]) -> ExitCode:
        """Do what is still to do of ``stages``. Every end, cancellation included, is published."""
        code = ExitCode.FAILED
        self._log.publish(events.WorkRequested(stages=tuple(stages)))
        try:
            # A file that was never seen before takes a while to check: the faces must not stand still meanwhile.
            async with self._opening:
                store = await asyncio.to_thread(self._completion.samples)
            self._log.publish(store.counted())
            self._tidy_up()
            for stage in stages:
                code = await self._stage(stage, stages)
                if code != ExitCode.DONE:
                    break
        except UserError as error:
            code = self._failed(stages[0], error)
        except asyncio.CancelledError:
            code = ExitCode.INTERRUPTED
        finally:
            try:
                await self._write_report(code)
            finally:
                self._log.publish(events.RunEnded(exit_code=code))
        return code

    async def _write_report(self, code: ExitCode) -> None:
        """Tell the run in pictures, where there is something to tell. It is no stage: nothing fails with it."""
        state = self._log.state
        if not (state.accepted or state.requests or state.steps or state.evaluation):
            return
        try:
            path = await asyncio.to_thread(_report, self._place, self._run, code)
        except asyncio.CancelledError:  # whoever stops now does not want to wait for it
            return
        except Exception as error:
            told = events.NoticePosted(text=f"The report could not be written: {error}", level="warning")
            self._log.publish(told)
        else:
            self._log.publish(events.ReportWritten(path=str(path)))

    async def _stage(self, stage: Stage, stages: Sequence[Stage]) -> ExitCode:
        if reason := self._completion.reason(stage, stages, self._log.state):
            if not self._completion.holds(stage, self._log.state) and (done := self._completion.elsewhere(stage)):
                self._log.publish(done)
            self._log.publish(events.StageSkipped(stage=stage, reason=reason))
            return ExitCode.DONE
        self._log.publish(events.StageStarted(stage=stage))
        key = self._completion.key(stage)
        try:
            summary = await self._work[stage]()
        except asyncio.CancelledError:
            self._log.publish(events.StageStopped(stage=stage))
            raise
        except UserError as error:
            return self._failed(stage, error)
        except OSError as error:
            return self._failed(stage, explain(error))
        made = self._completion.made(stage)
        self._log.publish(events.StageFinished(stage=stage, key=key, outputs=made, summary=summary))
        return ExitCode.DONE

    def _failed(self, stage: Stage, error: UserError) -> ExitCode:
        redact = Redactor(os.environ)
        self._log.publish(
            events.StageFailed(
                stage=stage, message=redact(error.message), hint=redact(error.hint), exit_code=error.exit_code
            )
        )
        return ExitCode(error.exit_code)

    # The stages' work; each returns a summary of a few words

    async def _check(self) -> str:
        results = checklist.run(self._place, self._settings)
        for result in results:
            self._log.publish(result)
        if not self._completion.reason("generate", (), self._log.state):
            self._log.publish(await self._check_teacher())
        await self._jobs.run("preflight", "hegelion_core.preflight")
        failed = [check for check in self._log.state.checks if isinstance(check, events.CheckFailed)]
        if failed:
            first = failed[0]
            more = f" ({len(failed) - 1} more)" if len(failed) > 1 else ""
            raise UserError(f"{first.name}: {first.detail}{more}", first.fix, ExitCode.NOT_READY)
        return f"{len(self._log.state.checks)} checks passed"

    async def _check_teacher(self) -> events.CheckPassed | events.CheckFailed:
        """Program, version and login. What the local teacher needs, its model, is checked by the preflight worker."""
        if self._settings.generation.teacher == "local":
            return events.CheckPassed(name="teacher", detail="local, no account needed")
        teacher = self._make_teacher()
        try:
            info = await teacher.start()
        except TeacherFault as raw:
            fault = raw.redacted(Redactor(os.environ, (self._settings.teacher.key_variable,)))
            return events.CheckFailed(name="teacher", detail=fault.message, fix=fault.hint)
        finally:
            await teacher.close()
        return events.CheckPassed(name="teacher", detail=f"{info.name} {info.version} ({info.detail})")

    def _make_teacher(self) -> Teacher:
        return make_teacher(
            self._settings.generation.teacher,
            self._supervisor,
            run=self._run,
            place=self._place,
            settings=self._settings,
        )

    async def _generate(self) -> str:
        store = self._completion.samples()
        self._check_output()
        store.mend()
        if not self._run.prompts.exists():
            await self._prepare_prompts(store)
        if cost := plan_of(self._settings.generation).cost(self._missing(store)):
            self._log.publish(events.NoticePosted(text=cost))
        teacher = self._make_teacher()
        try:
            with self._making(teacher) as self._generator, self._guide_names():
                await self._generator.run()
        finally:
            self._generator = None
            await teacher.close()
        store.refresh()  # another process may have written the last ones
        self._log.publish(store.counted())
        return f"{store.accepted} samples"

    def _tidy_up(self) -> None:
        """Take up what a killed core left, before anything is asked and also where nothing is left to ask."""
        self._remove_pids()
        teacher = self._make_teacher()
        calls = self._run.calls
        if self._run.prompts.exists() and calls.exists() and any(calls.iterdir()):
            with self._making(teacher) as generator:
                generator.tidy()
        else:
            teacher.tidy()
            CallFolders(calls, str).close()

    @contextlib.contextmanager
    def _making(self, teacher: Teacher) -> Iterator[Generator]:
        """A generator of this run, with the claims that it needs."""
        store, prompts = self._completion.samples(), read_prompts(self._run.prompts)
        claims = Claims(self._samples)
        try:
            yield Generator(
                run=self._run,
                place=self._place,
                settings=self._settings.generation.model_copy(update={"instances": self._instances}),
                teacher=teacher,
                store=store,
                claims=claims,
                log=self._log,
                prompts=prompts,
                target=self._completion.wanted(store) or len(prompts),
                provenance=sampling(self._settings.teacher),
                key_variable=self._settings.teacher.key_variable,
            )
        finally:
            claims.close()

    def _missing(self, store: SampleStore) -> int:
        target = self._completion.wanted(store) or len(read_prompts(self._run.prompts))
        return max(0, target - store.accepted)

    def _check_output(self) -> None:
        """Nothing is asked that could not be kept."""
        found = checklist.output_file("sample file", self._samples)
        if isinstance(found, events.CheckFailed):
            fix = "Name a file in a folder that you can write to with --output."
            raise UserError(found.detail, fix, ExitCode.USAGE)

    async def _prepare_prompts(self, store: SampleStore) -> None:
        if is_light(self._settings.generation):
            prepared = await asyncio.to_thread(prepare, self._settings, self._place, self._run, store.done)
            self._log.publish(prepared)
        else:
            reading = f"Reading the prompts of {self._settings.generation.dataset}."
            self._log.publish(events.NoticePosted(text=reading))
            await self._jobs.run("prompts", "hegelion_core.generation.sources")

    async def _convert(self) -> str:
        await self._jobs.run("convert", "hegelion_core.conversion.worker")
        return f"{self._log.state.rows} rows"

    async def _train(self) -> str:
        """Train; a trainer that dies is started again at its last checkpoint, smaller if memory ran out."""
        training = self._settings.training
        if training.trainer == "standard":  # mlx-lm's own cannot go on as it was with a smaller batch
            if isinstance(found := checklist.standard_trainer(training), events.CheckFailed):
                raise UserError(found.detail, found.fix, ExitCode.USAGE)
            await self._jobs.run("train", "hegelion_core.training.standard.worker", logs=self._place.train_log)
            return f"{trained.steps} steps" if (trained := self._log.state.trained) else ""
        sizes, before = Sizes.of(training), self._log.state.restarted
        if before is not None:  # what was too much for this run before still is
            sizes = sizes.within(Sizes(before.micro_batch_size, before.max_seq_length))
        restarts = Restarts(sizes, allow_shorter=training.allow_shorter)
        while True:
            killed_before = pressure.oom_kills()
            settings = self._settings.model_copy(update={"training": restarts.sizes.applied_to(training)})
            try:
                module = "distributed.launch" if training.together else "worker"
                await self._jobs.run(
                    "train", f"hegelion_core.training.{module}", logs=self._place.train_log, settings=settings
                )
                break
            except WorkerDied as death:
                self._restart_training(restarts, death, killed_before)
        return f"{trained.steps} steps" if (trained := self._log.state.trained) else ""

    def _restart_training(self, restarts: Restarts, death: WorkerDied, killed_before: int | None) -> None:
        """Decide and say with which sizes training goes on.

        Raises:
            UserError: it cannot.
        """
        pressed = pressure.oom_kills() != killed_before or pressure.read_pressure(self._run.path, 0).level != "normal"
        cause = cause_of(death.code, said_so=death.out_of_memory, pressed=pressed)
        step = saved.step if (saved := self._log.state.checkpoint) else 0
        if not restarts.after(cause, step):
            raise death if cause == "other" else _no_smaller(restarts.sizes, death)
        sizes, batch = restarts.sizes, self._settings.training.batch_size
        self._log.publish(
            events.TrainingRestarted(
                reason=death.message.rstrip("."),
                step=step,
                micro_batch_size=sizes.micro_batch,
                accumulation=sizes.accumulation(batch),
                max_seq_length=sizes.length,
            )
        )

    async def _evaluate(self) -> str:
        await self._jobs.run("evaluate", "hegelion_core.evaluation.worker")
        if (result := self._log.state.evaluation) is None:
            return ""
        if not result.validation_rows:
            return f"{result.prompts} prompts answered by both"
        return f"loss {result.base_loss:.3f} -> {result.adapter_loss:.3f} nats per token"

    @contextlib.contextmanager
    def _guide_names(self) -> Iterator[None]:
        """The guide's log links and process-id files, for as long as the generators run. The demo leaves them alone."""
        if self._place.demo:
            yield
            return
        for number, (name, pid) in enumerate(_GUIDE_NAMES, start=1):
            workspace.link(
                self._place.root / name, os.path.relpath(self._place.generator_log(number), self._place.root)
            )
            workspace.replace(self._place.root / pid, f"{os.getpid()}\n".encode())
        try:
            yield
        finally:
            self._remove_pids()

    def _remove_pids(self) -> None:
        """Remove the process-id files, which are this core's or, since it holds the workspace, a dead one's."""
        if not self._place.demo:
            for log, pid in _GUIDE_NAMES:
                (self._place.root / pid).unlink(missing_ok=True)
                for name in (log, pid):
                    workspace.sweep(self._place.root, name)


def _report(place: Workspace, run: RunFolder, code: ExitCode) -> Path:
    from hegelion_core.report.write import write  # only the end of a run needs it

    return write(place, run, exit_code=code)


def _no_smaller(sizes: Sizes, death: WorkerDied) -> UserError:
    return UserError(
        f"{death.message.rstrip('.')}. It had one row at a time, at most {sizes.length} tokens long: nothing is less.",
        "Make memory free; or train fewer layers (--num-layers) or shorter rows (--max-seq-length, --allow-shorter). "
        "The same command goes on at the last checkpoint.",
    )


def sampling(settings: TeacherSettings) -> dict[str, object]:
    """The sampling settings that were given, for a sample's metadata."""
    given: dict[str, object] = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_new_tokens": settings.max_new_tokens,
        "thinking": None if settings.thinking == "default" else settings.thinking,
    }
    return {name: value for name, value in given.items() if value is not None}
