"""A Sacred experiment that checks its runs before they start and records them completely.

Example::

    ex = experiment("mnist_wgan")

    @ex.config
    def config():
        gen_lr = 5e-4

    @ex.automain
    def main(_run, gen_lr):
        ...

It overrides methods of ``sacred.Experiment``. A run records its source files and git state when it
starts, its options choose the project's observers, settings after ``with`` are checked, and the
project's own errors end the command with one sentence and exit code 1.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from reproducible_ml.after_import import run_begins
from reproducible_ml.models.exact import is_follower
from reproducible_ml.process import (
    GRACE_SECONDS,
    STOPPED_EXIT,
    Stopped,
    grace_seconds,
    listening,
    loaded_code,
    release_of,
    stop_signals,
    writing_run,
)
from reproducible_ml.tracking.folder import EXACT_CONFIG, RUN_LINE, exact_values, plain
from reproducible_ml.tracking.recording import source_files as sources
from reproducible_ml.tracking.recording.command_line import (
    check_options,
    mistake,
    program,
    typed_texts,
    words_of,
)
from reproducible_ml.tracking.recording.config_check import (
    Types,
    checked_updates,
    unwrap,
)
from reproducible_ml.tracking.recording.config_files import check_config_file, read_safely
from reproducible_ml.tracking.recording.draws import same_draws
from reproducible_ml.tracking.recording.facts import local_store
from reproducible_ml.tracking.recording.finishing import at_broken_end, at_end, at_start
from reproducible_ml.tracking.recording.observer import LocalStore
from reproducible_ml.tracking.recording.options import (
    FOLDER,
    GRACE,
    IDENTITY,
    MONGO,
    OWN_OPTIONS,
    PRINT_CONFIG,
    RERUN_VARIABLE,
    STOP_ON,
    Storage,
    places_of,
)
from reproducible_ml.tracking.recording.threads import DEFAULT_THREADS, fixed_threads
from reproducible_ml.tracking.runs import (
    FILLED_IN,
    TOLD_FILLED_IN,
    Interrupted,
    flat,
    hold_folder,
    interrupted_run,
    resume_command,
    source_name,
)
from reproducible_ml.tracking.sacred_parts import (
    Source,
    create_scaffolding,
    gather_ingredients_topological,
    get_configuration,
    get_scaffolding_and_config_name,
    print_config_option,
    sacred,
)
from reproducible_ml.utils import environment
from reproducible_ml.utils.disk import of_a_run
from reproducible_ml.utils.errors import ReproducibleMLError, TrackingError
from reproducible_ml.utils.paths import own_command
from reproducible_ml.utils.redaction import redact, redact_tree
from reproducible_ml.utils.running import enter, leave
from reproducible_ml.utils.text import neutral

INTERRUPTED_EXIT = 130
read_safely()
# Arguments of sacred.Experiment whose purpose is served otherwise.
_NEEDLESS = ("interactive", "save_git_info")
# Configuration -> names of the numbers in the result, and of the metrics, of a run with it.
MetricNames = Callable[[Mapping[str, Any]], Collection[str]]
# Configuration -> value, and where it comes from, for keys that are None.
FillIn = Callable[[Mapping[str, Any]], Mapping[str, "tuple[Any, str]"]]
Check = Callable[[Mapping[str, Any]], None]


def experiment(
    name: str | None = None,
    ingredients: Sequence[Any] = (),
    *,
    types: Types | None = None,
    fill_in: FillIn | None = None,
    check: Check | None = None,
    threads: int = DEFAULT_THREADS,
    autolog: bool = True,
    writes: Sequence[str] = (),
    stop_on: Sequence[str] = ("SIGTERM",),
    grace_seconds: float = GRACE_SECONDS,
    metrics: MetricNames | None = None,
    **options: Any,
) -> TrackedExperiment:
    """Define an experiment in the calling module.

    It takes the place of ``sacred.Experiment`` with the same numbers: seeds, and what is drawn with
    them, are Sacred's.

    Args:
        name: Name of the experiment in the list of runs; that of the calling file by default.
        ingredients: Sacred ingredients that it uses.
        types: Types by dotted configuration key, for keys whose default doesn't determine them:
            ``{"npz_file": (str, None)}``. Other values must have the type of their default.
        fill_in: Called with the configuration before a run starts. For keys that are None it
            returns the value to use and a few words on its origin; the run records both. See
            ``stages.fill_in_defaults``.
        check: Called with the complete configuration before a run starts; raises ``ConfigError``
            for values that the main function would refuse. See ``stages.check_training``.
        threads: Threads of the libraries below NumPy, SciPy and scikit-learn, whatever the number
            of cores, unless environment variables such as ``OMP_NUM_THREADS`` set it.
        autolog: Record each training of a ``tf.estimator.Estimator`` within the main function, and
            make it resume exactly; see docs/your-estimator.md.
        writes: Configuration keys of folders that no other process may write during a run, such as
            ``["model_dir"]``: a second start is refused before it is recorded. The ``model_dir`` of
            a training is also held without this, once the training starts.
        stop_on: Signals that stop a run, which is recorded as INTERRUPTED: a training finishes its
            step and writes a checkpoint, and the process exits with 143. ``--stop-on`` overrides
            it.
        grace_seconds: The process has ended so long after the signal, whatever it does; ``--grace``
            overrides it.
        metrics: Called with the configuration; returns the names of the numbers in the result and
            of the metrics that a run may have. A sweep then checks ``--metric`` before it starts.
        **options: ``additional_host_info`` and ``additional_cli_options`` of
            ``sacred.Experiment``; ``interactive`` and ``save_git_info`` change nothing, since runs
            from a notebook and the state of git are always recorded.

    Returns:
        A Sacred experiment; ``ex.config``, ``ex.named_config``, ``ex.automain`` and ``ex.run`` as
        in Sacred.
    """
    return TrackedExperiment(
        name,
        sys._getframe(1).f_globals,
        types or {},
        ingredients,
        fill_in,
        threads,
        autolog,
        check=check,
        writes=writes,
        stop_on=stop_on,
        grace_seconds=grace_seconds,
        metrics=metrics,
        **{key: value for key, value in options.items() if key not in _NEEDLESS},
    )


class TrackedExperiment(sacred.Experiment):
    """A Sacred experiment that belongs to the module with the given globals."""

    def __init__(
        self,
        name: str | None,
        module_globals: Mapping[str, Any],
        types: Types,
        ingredients: Sequence[Any] = (),
        fill_in: FillIn | None = None,
        threads: int = DEFAULT_THREADS,
        autolog: bool = True,
        check: Check | None = None,
        writes: Sequence[str] = (),
        stop_on: Sequence[str] = ("SIGTERM",),
        grace_seconds: float = GRACE_SECONDS,
        metrics: MetricNames | None = None,
        **options: Any,
    ) -> None:
        self.origin = sources.origin_of(module_globals)
        self.types = types
        self.fill_in = fill_in
        self.check = check
        self.threads = threads
        self.autolog = autolog
        self.writes = writes
        self.stop_on = stop_on
        self.grace_seconds = grace_seconds
        self.metrics = metrics
        if name is None and self.origin.file is not None:
            name = self.origin.file.stem
        # "interactive" and without git keep Sacred from collecting source files itself: it would
        # collect those of this module, and read the state of git once for each file.
        super().__init__(
            name,
            ingredients=ingredients,
            interactive=True,
            base_dir=str(self.origin.base_dir),
            save_git_info=False,
            **options,
        )
        self.doc = module_globals.get("__doc__") or ""
        main_file = self.origin.file
        self.mainfile = Source.create(str(main_file), False) if main_file else None
        others = {option.get_flag(): option for option in self.all_cli_options}
        self.all_cli_options = list({**others, **OWN_OPTIONS}.values())
        self.captured_out_filter: Any = redact
        self._on_command_line = False
        self._typed: dict[str, str] = {}
        # Source files that the present run has recorded, or will.
        self._recorded: set[Path] = set()
        self._storage: Storage | None = None
        # What the run's folder lacks after its end, in a sentence.
        self._incomplete = ""

    def get_experiment_info(self) -> dict[str, Any]:
        """Return name, source files, packages and repositories as they are now."""
        base_dir = self.origin.base_dir
        self._recorded.clear()
        files = self._source_files()
        ignored = [] if self._storage is None else [self._storage.folder]
        self._git = {
            str(directory): state
            for directory in (base_dir, sources.LIBRARY)
            for state in [sources.git_state(directory, ignored)]
            if state is not None
        }
        repositories = {
            state["root"]: {
                "url": redact(state["url"] or f"git:/{state['root']}"),
                "commit": state["commit"],
                "dirty": state["dirty"],
            }
            # Without the experiment's own commit, readers would take the library's for it.
            for state in (self._git.values() if str(base_dir) in self._git else ())
        }
        packages = environment.packages()
        return {
            "name": self.path,
            "base_dir": str(base_dir),
            "module": self.origin.module,
            "mainfile": None
            if self.origin.file is None
            else str(self.origin.file.relative_to(base_dir.resolve())),
            "library_dir": str(sources.LIBRARY.parent),
            "sources": sources.recorded_sources(files, base_dir),
            "dependencies": [f"{name}=={version}" for name, version in packages.items()],
            "repositories": list(repositories.values()),
        }

    def _source_files(self) -> list[Path]:
        """Return the source files that a run depends on, as far as they are imported now."""
        self._loaded = loaded_code(self.origin.base_dir)
        if self.origin.file is None:
            self._loaded.without_file.append("what a notebook's cells, or a prompt, defined")
        files = sources.source_files(self.origin, self._loaded)
        self._loaded.without_file += [
            f"{path}, which is gone or can't be read"
            for path in sorted(self._loaded.unreadable - self._recorded)
        ]
        for ingredient, _ in self.traverse_ingredients():
            files += [Path(one.filename) for one in ingredient.sources if ingredient is not self]
        self._recorded.update(files)
        return sorted(set(files))

    def _late_files(self, run: Any) -> list[Path]:
        """Return the source files at a run's end, and note in the run what belongs to them."""
        files = self._source_files()
        self._note_code(run)
        return files

    def _note_code(self, run: Any) -> None:
        """Record where the user's own modules are imported from, and what is in no file."""
        base_dir, library_dir = self.origin.base_dir.resolve(), str(sources.LIBRARY.parent)
        names = [os.path.relpath(one, base_dir) for one in self._loaded.roots]
        found = [source_name(name, str(base_dir), library_dir) for name in names]
        run.info["import_roots"] = [name for name in found if name]
        said = set(run.info.get("unrecorded", ()))
        new = [one for one in self._loaded.without_file if one not in said]
        if new:
            run.info["unrecorded"] = [*run.info.get("unrecorded", ()), *new]
            run.run_logger.warning("The record does not hold %s.", "; ".join(new))

    def run_commandline(self, argv: Any = None) -> Any:
        """Run the command line; the project's own errors are printed as one sentence."""
        words = words_of(sys.argv if argv is None else argv)
        wrong = mistake(self, words)
        if wrong:
            print(f"Error: {neutral(redact(wrong))}", file=sys.stderr)
            sys.exit(1)
        self._on_command_line = True
        self._typed = typed_texts(words)
        try:
            return super().run_commandline(words)
        except TrackingError as error:  # of the arguments themselves
            if "--debug" in words:
                raise
            print(f"Error: {neutral(redact(str(error)))}", file=sys.stderr)
            sys.exit(1)
        finally:
            self._on_command_line = False
            self._typed = {}

    def get_usage(self, program_name: str | None = None) -> tuple[str, str, str]:
        """Return a short and a long usage with the command typed, and one for Sacred's parser."""
        _, long, internal = super().get_usage(program_name)
        if program_name is None:
            typed = shlex.join(program(self, sys.argv))
            long = internal.replace("\n  dummy ", f"\n  {typed} ")
        return long.partition("\n\n")[0], long, internal

    def run(
        self,
        command_name: str | None = None,
        config_updates: dict[str, Any] | None = None,
        named_configs: Sequence[str] = (),
        info: dict[str, Any] | None = None,
        meta_info: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Any:
        """Run a command as ``sacred.Experiment.run`` does, and return the run.

        Raises:
            ConfigError: The configuration is invalid; nothing was started.
        """
        if not self._on_command_line and os.environ.get(RERUN_VARIABLE) == self.path:
            # The file calls ``run`` itself, with what it is to run again on its command line.
            self.run_commandline()
            sys.exit(0)
        try:
            with fixed_threads(self.threads):
                run = self._create_run(
                    command_name, config_updates, named_configs, info, meta_info, options
                )
                try:
                    if command_name in (None, self.default_command):
                        self._hold_written(run)
                    enter(run, self.autolog)
                    try:
                        if self.autolog:
                            run_begins(run.config)
                        with self._listening(run, options or {}):
                            run()
                    finally:
                        leave(run)
                        self._say_where(run)
                finally:
                    release_of(run)
                if self._incomplete:
                    raise TrackingError(self._incomplete)
            return run
        except ReproducibleMLError as error:
            if not self._on_command_line or (options or {}).get("--debug"):
                raise
            print(f"Error: {neutral(redact(str(error)))}", file=sys.stderr)
            sys.exit(1)
        except Exception as error:
            said = of_a_run(error)
            if said is None or not self._on_command_line or (options or {}).get("--debug"):
                raise
            print(f"Error: {neutral(redact(said))}", file=sys.stderr)
            sys.exit(1)
        except Stopped:
            # From Python, too: who stops a script does not want a traceback.
            sys.exit(STOPPED_EXIT)
        except KeyboardInterrupt:
            if not self._on_command_line:
                raise
            sys.exit(INTERRUPTED_EXIT)

    def _listening(self, run: Any, options: Mapping[str, Any]) -> AbstractContextManager[None]:
        """Listen to the signals that stop a run.

        Raises:
            ConfigError: There is no such signal, or the grace period is no number.
        """
        return listening(
            stop_signals(options.get(STOP_ON) or self.stop_on),
            grace_seconds(options.get(GRACE) or self.grace_seconds),
            partial(self._end_now, run),
        )

    def _end_now(self, run: Any) -> None:
        """Record the end of a run that did not stop in time; another thread calls it."""
        run.status = Stopped.STATUS
        store = local_store(run)
        if store is not None:
            store.end_now(Stopped.STATUS)
        self._say_where(run)
        # What a follower has is the chief's too, which has ended or says it itself.
        if not self._follows(run):
            print(
                "The grace period is over; what the last checkpoint lacks is lost.", file=sys.stderr
            )
        sys.stdout.flush()

    def _follows(self, run: Any) -> bool:
        """Tell whether this process is a worker of a cluster that is not the chief."""
        return is_follower(run.config.get("strategy"), joins_any=self.autolog)

    def _say_where(self, run: Any) -> None:
        if run._id is None or not run.observers or self._storage is None:
            return
        store = local_store(run)
        if store is not None and store.is_forked:
            return
        folder = self._storage.folder if store is None else store.runs_dir
        print(RUN_LINE.format(id=run._id, directory=folder / str(run._id)))
        for place in places_of(run.observers):
            print(f"Also in {place}, by the experiment's own observer")
        for other in self._storage.left_out:
            print(f"Not in {other}: a run has one folder; copy it with: {own_command()} copy")
        if self._incomplete and run.status != "COMPLETED":
            print(f"Error: {neutral(self._incomplete)}", file=sys.stderr)
        if not self._on_command_line or self._incomplete:
            return
        command = own_command()
        print(f"Look at it: {command} board -F {folder}")
        if run.status == "COMPLETED" and "seal" in run.info:
            print(f"Prove it:   {command} reproduce {run._id} -F {folder}")
        resuming = resume_command(
            run.experiment_info, run.meta_info, run.info, run.status, run.fail_trace or ()
        )
        if resuming:
            print(f"Resume:     {neutral(resuming)}")

    def _create_run(
        self,
        command_name: str | None = None,
        config_updates: dict[str, Any] | None = None,
        named_configs: Sequence[str] = (),
        info: dict[str, Any] | None = None,
        meta_info: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Any:
        given = dict(options or {})
        check_options(given)
        self._storage = storage = Storage(given)
        self._incomplete = ""
        storage.take_place_of(self.observers)
        forced = bool(given.get("--force"))
        if not forced:
            # It evaluates the configuration, which may draw: the run must draw the same again.
            with same_draws():
                config_updates = self._checked(config_updates or {}, named_configs)
        # Sacred's own storage options are hidden from it. "--force", because the updates have been
        # checked and Sacred would warn of each key whose default is None.
        hidden = {FOLDER: None, MONGO: None, IDENTITY: None, PRINT_CONFIG: None, "--force": True}
        run = super()._create_run(
            command_name, config_updates, named_configs, info, meta_info, {**given, **hidden}
        )
        # Sacred mistakes the docstring of a configuration function for a value.
        run.config.pop("__doc__", None)
        for config in (run.config, *(one.config for one in self.captured_functions)):
            unwrap(config)
        self._fill_in(run)
        # Commands such as print_config show any configuration.
        shows = getattr(self.commands.get(command_name or ""), "unobserved", False)
        if self.check is not None and not forced and not shows:
            self.check(run.config)
        run.pre_run_hooks.insert(0, partial(at_start, run))
        run.post_run_hooks.append(partial(at_end, run, partial(self._late_files, run)))
        if given.get(PRINT_CONFIG):
            # Only now is it the configuration that the run uses.
            print_config_option.apply(True, run)
        run._id = storage.run_id
        exact = exact_values(run.config)
        if exact:
            run.meta_info[EXACT_CONFIG] = exact
        run.meta_info["options"].update(
            {name: given.get(name) for name in (FOLDER, IDENTITY)},
            **{MONGO: None, "--force": forced, **storage.shown()},
            **{PRINT_CONFIG: bool(given.get(PRINT_CONFIG))},
        )
        run.meta_info = redact_tree(run.meta_info)
        if self._follows(run):
            # Of several workers only the chief records the run.
            if not is_follower(run.config.get("strategy")):
                print(
                    "TF_CONFIG names this process a worker that is not the chief, so the record is "
                    "the chief's alone.",
                    file=sys.stderr,
                    flush=True,
                )
            run.unobserved = True
            run.observers.clear()
        if run.unobserved:
            return run
        interrupted = self._interrupted(run, storage, config_updates or {}, command_name)
        if interrupted is not None and interrupted.seed is not None:
            # Sacred has drawn another one for this start.
            updates = {**(config_updates or {}), "seed": interrupted.seed}
            return self._create_run(command_name, updates, named_configs, info, meta_info, options)
        self._observe(run, storage)
        if interrupted is not None:
            self._resume(run, interrupted)
        return run

    def _interrupted(
        self, run: Any, storage: Storage, updates: Mapping[str, Any], command_name: str | None
    ) -> Interrupted | None:
        """Find the stopped run that this one resumes."""
        if RERUN_VARIABLE in os.environ or command_name not in (None, self.default_command):
            return None
        config = json.loads(json.dumps(redact_tree(plain(run.config))))
        found = interrupted_run(storage.folder, run.experiment_info, config, updates)
        # A user who names another id wants a new run.
        asked = storage.run_id is None or found is None or storage.run_id == found.run_id
        return found if asked else None

    @staticmethod
    def _resume(run: Any, interrupted: Interrupted) -> None:
        store = local_store(run)
        if store is None:
            return
        run._id = interrupted.run_id
        store.resumes = store.runs_dir / str(interrupted.run_id)
        print(
            f"Resuming run {interrupted.run_id}, which was stopped: the same configuration and "
            "model_dir.",
            file=sys.stderr,
        )

    def _fill_in(self, run: Any) -> None:
        """Give values to keys that are None, and mark these keys in ``meta``.

        A config hook of Sacred would not do: ``with gen_lr=None`` and None in a configuration file
        would override it.
        """
        config = run.config
        marks = config.pop(TOLD_FILLED_IN, None) or {}
        changed: dict[str, Any] = {}
        if self.fill_in is not None:
            found: dict[str, tuple[Any, str | None]] = dict.fromkeys(marks, (None, None))
            found.update(self.fill_in({**config, **dict.fromkeys(marks)}))
            # A rerun keeps the recorded value whatever the default is today, unless the value now
            # has another origin, for example after a change of gan_type.
            changed = {key: value for key, (value, why) in found.items() if marks.get(key) != why}
            marks = {key: why for key, (_, why) in sorted(found.items()) if why is not None}
        config.update(changed)
        if marks:
            run.meta_info[FILLED_IN] = dict(marks)
        for function in self.captured_functions:
            dict.pop(function.config, TOLD_FILLED_IN, None)
            if not function.prefix:
                # Bypasses Sacred's lock, which protects against the experiment's own functions.
                dict.update(function.config, changed)

    def _observe(self, run: Any, storage: Storage) -> None:
        """Add the local store, and the facts that the run must hold from its first moment."""
        described = environment.describe_environment()
        run.info["environment"] = {
            **described,
            "threads": dict(sorted(described["threads"].items())),
            "git": redact_tree(self._git.get(str(self.origin.base_dir))),
        }
        library_git = self._git.get(str(sources.LIBRARY))
        if library_git is not None and library_git["root"] != (
            (run.info["environment"]["git"] or {}).get("root")
        ):
            run.info["environment"]["library_git"] = redact_tree(library_git)
        refusal = None if self.origin.file is None else sources.git_refusal(self.origin.base_dir)
        if refusal:
            run.info["unrecorded"] = [refusal]
            run.run_logger.warning(refusal)
        self._note_code(run)
        for state in self._git.values():
            for line in sources.notices(state):
                run.run_logger.info(line)
        secret = [name for name, _ in run.experiment_info["sources"] if sources.is_secret(name)]
        if secret:
            run.run_logger.warning(
                "The record holds %s, whose name is one of secrets, because the run depends on it: "
                "read secrets from environment variables or files instead.",
                ", ".join(secret),
            )
        if run.capture_mode is None and not _prints_to_descriptors():
            run.capture_mode = "sys"
        if not any(isinstance(one, LocalStore) for one in run.observers):
            # A hook of the experiment may have added observers since the options were read.
            storage.take_place_of(run.observers)
            # It writes what Sacred's own observer would, and more.
            others = storage.others(run.observers)
            if run._id is None and storage.mongo is None and RERUN_VARIABLE not in os.environ:
                run._id = storage.free_id(others)
            store = storage.observer()
            store.incomplete = self._note_incomplete
            store.before_broken_end = partial(at_broken_end, run, partial(self._late_files, run))
            run.observers[:] = [store] if RERUN_VARIABLE in os.environ else [store, *others]
            store.attach(run)

    def _hold_written(self, run: Any) -> None:
        """Hold the folders that the run will write, before anything of it is recorded.

        Raises:
            Held: Another process writes one of them.
        """
        if self._follows(run):
            return
        for key, value in flat(run.config, "").items():
            if not isinstance(value, str) or not value:
                continue
            # Without a declaration: a folder that a run of the same experiment writes now.
            trains = key.rpartition(".")[2] == "model_dir" and (
                writing_run(value).partition(" run ")[0] == self.path
            )
            if key in self.writes or trains:
                hold_folder(run, Path(value))

    def _note_incomplete(self, sentence: str) -> None:
        self._incomplete = sentence

    def _checked(
        self, config_updates: Mapping[str, Any], named_configs: Sequence[str]
    ) -> dict[str, Any]:
        """Return the updates, checked against the defaults; see ``config_check``."""
        updates: dict[str, Any] = {}
        for key, value in config_updates.items():
            sacred.utils.set_by_dotted_path(updates, key, value)
        presets = dict(self.gather_named_configs())
        for name in named_configs:
            check_config_file(name, presets)
        scaffolding = create_scaffolding(self, gather_ingredients_topological(self))
        for scaffold in scaffolding.values():
            scaffold.logger = logging.getLogger("ignore")
            scaffold.gather_fallbacks()
            scaffold.set_up_config()
        defaults = get_configuration(scaffolding)
        # Sacred gives each ingredient a seed of its own, which can be set, too.
        seeds = {f"{path}.seed" for path in scaffolding if path}
        free = {TOLD_FILLED_IN, *seeds}.union(*(one.captured_args for one in scaffolding.values()))
        converted: dict[str, Any] = {}
        for name in named_configs:
            scaffold, config_name = get_scaffolding_and_config_name(name, scaffolding)
            preset = scaffold.run_named_config(config_name)
            nested: dict[str, Any] = {}
            if scaffold.path:
                sacred.utils.set_by_dotted_path(nested, scaffold.path, preset)
            nested = nested or preset
            # Sacred reads it again, so only what it can't read as such is told to it beforehand.
            found = checked_updates(nested, defaults, self.types, free)
            _add(converted, _conversions(nested, found))
        checked = checked_updates(updates, defaults, self.types, free, self._typed)
        return _add(converted, checked)


def _conversions(given: Mapping[str, Any], checked: Mapping[str, Any]) -> dict[str, Any]:
    """Return those checked values that have another type than what was given, except numbers."""
    found = {}
    for key, value in checked.items():
        if isinstance(value, dict) and value:
            inner = _conversions(given[key], value)
            found.update({key: inner} if inner else {})
        elif type(value) is not type(given[key]) and not isinstance(value, (int, float, dict)):
            found[key] = value
    return found


def _add(updates: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Add nested updates to others, which they override; return the latter."""
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(updates.get(key), dict):
            _add(updates[key], value)
        else:
            updates[key] = value
    return updates


def _prints_to_descriptors() -> bool:
    """Tell whether ``print`` writes to file descriptor 1, which it doesn't in a notebook."""
    try:
        return sys.stdout.fileno() == 1
    except (AttributeError, OSError, ValueError):
        return False
