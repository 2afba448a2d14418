"""pgrepl without a person: the examples of docs/automation.md, executed as they stand there, on one cluster."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import jinja2
import nbformat
import pytest
import yaml

from pgrepl_lib import open_cluster
from pgrepl_lib.cli.main import main
from pgrepl_lib.journal import audit
from pgrepl_lib.journal.chapter import SET_UP
from pgrepl_lib.journal.lock import run_lock
from pgrepl_lib.journal.runs import SUMMARY
from pgrepl_lib.params import Params, variable

from .running import Completed, pgrepl

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
Values = dict[str, Any]
CRON = {
    "PATH": "/usr/bin:/bin",
    "HOME": os.environ["HOME"],
    "SHELL": "/bin/sh",
}  # all that cron gives
# What the provider's operator does with its arguments (apache-airflow-providers-papermill, operators/papermill.py).
OPERATOR = """
import json, sys, papermill
task = json.loads(sys.argv[1])
papermill.execute_notebook(task["input_nb"], task["output_nb"], parameters=task["parameters"], progress_bar=False,
                           report_mode=True, kernel_name=task["kernel_name"], language=task["language_name"])"""
CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f]"
)  # also a carriage return and the beginning of a colour
TEMPLATES = (
    "input_nb",
    "output_nb",
    "parameters",
    "kernel_name",
    "language_name",
)  # its template_fields


def examples(kind: str, name: str = "automation.md") -> list[str]:
    """The document's code blocks of one kind."""
    return re.findall(
        rf"^```{kind}\n(.*?)^```", (ROOT / "docs" / name).read_text("utf-8"), re.M | re.S
    )


def here(example: str, values: Values) -> str:
    """An example with this machine's folders and this test's project instead of its own."""
    for there, ours in (
        ("/srv/pgrepl/.venv/bin", BIN),
        ("/srv/pgrepl", ROOT),
        ("/var/lib/pgrepl", values["workdir"]),
    ):
        example = example.replace(there, str(ours))
    return example


def environment(values: Values) -> dict[str, str]:
    """The project's parameters as variables, beside what this process has; none of its own parameters."""
    inherited = {k: v for k, v in os.environ.items() if k not in map(variable, Params.model_fields)}
    return {**inherited, **{variable(name): text(value) for name, value in values.items()}}


def text(value: Any) -> str:
    """A parameter's value as a shell gives it."""
    return json.dumps(value) if isinstance(value, dict) else str(value)


def shell(script: str, env: dict[str, str], cwd: Path | str, program: str = "/bin/sh") -> Completed:
    return subprocess.run(
        [program, "-e", "-c", script],
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
    )


def journal_of(values: Values) -> list[dict[str, Any]]:
    return list(audit.Journal(Path(values["workdir"]) / values["project"]).entries())


def outcomes(entries: list[dict[str, Any]]) -> set[str]:
    return {e["outcome"] for e in entries if e["kind"] == "step"}


@contextmanager
def without_replica(values: Values) -> Iterator[None]:
    """The project with its replica stopped; afterwards it streams again."""
    cluster = open_cluster("", **values)
    cluster.engine.stop("replica").do(lambda line: None)
    try:
        yield
    finally:
        cluster.replica.start()
        cluster.replica.wait_streaming()


# --- Airflow ----------------------------------------------------------------------------------------------------


class Operator:
    """A task of the example's DAG: what it was given, and what comes before it."""

    made: list[Operator]

    def __init__(self, **given: Any) -> None:
        self.given, self.before = given, list[Operator]()
        self.made.append(self)

    def __rshift__(self, other: Operator) -> None:
        other.before.append(self)

    def rendered(self, **context: str) -> Values:
        """Its template fields, as Airflow renders them before it executes the task."""

        def render(value: Any) -> Any:
            if isinstance(value, dict):
                return {k: render(v) for k, v in value.items()}
            return jinja2.Template(value).render(context) if isinstance(value, str) else value

        return {name: render(self.given[name]) for name in TEMPLATES}


def tasks_of(example: str, monkeypatch: pytest.MonkeyPatch) -> list[Operator]:
    """The tasks that the example's DAG file makes, as Airflow would import it."""
    Operator.made = []

    class Dag:
        def __init__(self, dag_id: str, **given: Any) -> None:
            assert given["max_active_runs"] == 1

        def __enter__(self) -> None: ...

        def __exit__(self, *error: object) -> None: ...

    provider = "airflow.providers.papermill.operators.papermill"
    parts = {
        "airflow": {"DAG": Dag},
        provider: {"PapermillOperator": Operator},
        "pendulum": {"datetime": lambda *numbers: numbers},
    }
    for name, content in parts.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    exec(example, {})
    return Operator.made


@pytest.fixture(scope="module")
def new_values(
    workdir: Path, free_network: Callable[[], str], free_port: Callable[[], int]
) -> Iterator[Callable[..., Values]]:
    """The parameters of a new project on the local engine; all are removed afterwards."""
    made: list[Values] = []

    def make(**more: Any) -> Values:
        made.append(
            {
                "project": f"a{secrets.token_hex(3)}",
                "engine": "local",
                "workdir": str(workdir),
                "network": free_network(),
                "port": free_port(),
                **more,
            }
        )
        return made[-1]

    yield make
    for each in made:
        open_cluster("", **each).remove(confirm=True)


@pytest.fixture(scope="module")
def values(new_values: Callable[..., Values]) -> Values:
    return new_values(settings={"work_mem": "8MB"})


class Scheduler:
    """Executes the example's tasks, each in a process of its own, as the operator does."""

    def __init__(self, values: Values, folder: Path, tasks: list[Operator]) -> None:
        self.values, self.tasks, self.folder = values, tasks, folder
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("PGREPL_")}
        self.environment["JUPYTER_DATA_DIR"] = str(folder / "jupyter")

    def execute(self, task: Operator) -> Completed:
        given = task.rendered(ds="2026-01-02", params={"port": self.values["port"]})
        given["parameters"] |= {k: v for k, v in self.values.items() if k != "port"}
        assert json.loads(json.dumps(given["parameters"])) == given["parameters"]
        given["parameters"]["port"] = str(self.values["port"])  # text, as a template gives it
        given["output_nb"] = given["output_nb"].replace("/srv/share/pgrepl", str(self.folder))
        whole = [sys.executable, "-c", OPERATOR, json.dumps(given)]
        return subprocess.run(
            whole, env=self.environment, cwd="/", capture_output=True, text=True, timeout=200
        )


@pytest.fixture(scope="module")
def airflow(values: Values, tmp_path_factory: pytest.TempPathFactory) -> Scheduler:
    """The example's DAG, executed once: it made the cluster of these tests."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        tasks = tasks_of(here(examples("python")[0], values), monkeypatch)
    made = Scheduler(values, tmp_path_factory.mktemp("share"), tasks)
    done = shell(here(examples("sh")[1], values), made.environment, "/")
    assert done.returncode == 0, done.stderr
    for task in tasks:
        done = made.execute(task)
        assert done.returncode == 0, done.stderr[-3000:]
    return made


def test_airflow_executes_the_chapters_in_order_into_one_folder(airflow: Scheduler) -> None:
    assert [t.given["task_id"] for t in airflow.tasks] == list(SET_UP)
    assert [t.before for t in airflow.tasks] == [[], *([t] for t in airflow.tasks[:-1])]
    assert sorted(p.name for p in airflow.folder.glob("*.ipynb")) == [
        f"2026-01-02-{c}.ipynb" for c in SET_UP
    ]
    notebook = nbformat.read(airflow.folder / f"2026-01-02-{SET_UP[1]}.ipynb", 4)
    kernel = json.loads((airflow.folder / "jupyter/kernels/pgrepl/kernel.json").read_text("utf-8"))
    assert kernel["argv"][0] == str(BIN / "python"), (
        "papermill refuses a kernel that is not installed"
    )
    assert all(c.metadata.jupyter.source_hidden for c in notebook.cells if c.cell_type == "code"), (
        "report_mode"
    )
    entries = journal_of(airflow.values)
    assert {e["chapter"] for e in entries if e["kind"] == "step"} == set(SET_UP[:3])
    assert all(e["cell"] for e in entries if e["kind"] in ("step", "check"))
    assert len({e["name"] for e in entries if e["kind"] == "check" and e["passed"]}) == 10
    assert open_cluster("", **airflow.values).primary.query("show work_mem").iloc[0, 0] == "8MB"


def again(airflow: Scheduler, tasks: list[Operator]) -> None:
    """Execute tasks again with the same outputs: everything is unchanged."""
    before = len(journal_of(airflow.values))
    for task in tasks:
        done = airflow.execute(task)
        assert done.returncode == 0, done.stderr[-3000:]
    assert outcomes(journal_of(airflow.values)[before:]) == {"unchanged"}
    assert len(list(airflow.folder.glob("*.ipynb"))) == len(SET_UP)


def test_airflow_retries_a_task(airflow: Scheduler) -> None:
    again(airflow, airflow.tasks[2:3])


@pytest.mark.long
def test_airflow_executes_a_cleared_run_again(airflow: Scheduler) -> None:
    again(airflow, airflow.tasks)


# --- papermill alone --------------------------------------------------------------------------------------------


def test_papermill_alone_changes_nothing_that_is_done_and_fails_with_a_check(
    airflow: Scheduler, tmp_path: Path
) -> None:
    values = airflow.values
    ours = " ".join(
        f"-p {name} {shlex.quote(text(values[name]))}"
        for name in ("project", "network", "port", "settings")
    )
    chapters = SET_UP[2:4]  # that the first ones change nothing either, another test has seen
    script = here(examples("sh")[0], values).replace("-p project demo", ours)
    script = script.replace(" ".join(SET_UP), " ".join(chapters))
    env = {**airflow.environment, "PGREPL_PROJECT": "not-read", "PGREPL_PORT": "not-read"}
    before = len(journal_of(values))
    done = shell(script, env, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [p.stem for p in sorted(tmp_path.glob("*.ipynb"))] == list(chapters)
    entries = journal_of(values)[before:]
    assert outcomes(entries) == {"unchanged"} and all(
        e["passed"] for e in entries if e["kind"] == "check"
    )
    assert audit.Journal(Path(values["workdir"]) / values["project"]).first_broken_line() is None

    with without_replica(values):
        done = shell(script.replace(" ".join(chapters), SET_UP[3]), env, tmp_path)
    assert done.returncode == 1 and "A verificação falhou: " in done.stderr
    cells = nbformat.read(tmp_path / f"{SET_UP[3]}.ipynb", 4).cells
    assert [c.id for c in cells if c.metadata.get("papermill", {}).get("exception")]
    assert [e["passed"] for e in journal_of(values) if e["kind"] == "check"][-1] is False


# --- cron -------------------------------------------------------------------------------------------------------


def crontab(values: Values) -> tuple[dict[str, str], dict[str, str]]:
    """The example's variables and its commands, these by pgrepl's verb."""
    variables, commands = {}, {}
    for line in here(examples("crontab")[0], values).splitlines():
        if found := re.fullmatch(r"(\w+)=(.*)", line):
            variables[found[1]] = found[2]
        else:
            *times, command = line.split(None, 5)
            verb = shlex.split(command)[1]
            assert (
                len(times) == 5
                and all(re.fullmatch(r"[*/\d]+", t) for t in times)
                and "%" not in command
            )
            commands[verb] = command
    return variables, commands


def test_cron_mails_nothing_while_all_is_well_and_what_is_wrong_otherwise(
    airflow: Scheduler,
) -> None:
    values = airflow.values
    variables, commands = crontab(values)
    env = {**CRON, **variables, "PGREPL_PROJECT": values["project"]}
    assert variables["PGREPL_WORKDIR"] == values["workdir"] and set(commands) == {"run", "check"}

    def cron(verb: str) -> tuple[int, str, str]:
        done = shell(commands[verb], env, "/")
        return done.returncode, done.stdout, done.stderr

    assert cron("check") == (0, "", "")
    with without_replica(values):
        code, out, err = cron("check")
        assert (
            (code, err) == (1, "")
            and "what to do:" in out
            and "✔" not in out
            and re.search(r"^\d+ passed, [1-9]\d* failed, 1 not tried\n\Z", out, re.M)
        )
        with run_lock(Path(values["workdir"]) / values["project"]):
            code, out, err = cron("run")
        assert (code, out) == (3, "") and str(os.getpid()) in err and "Traceback" not in err
        assert cron("run") == (0, "", ""), (
            "it starts the replica, with what the project was made with"
        )


def test_after_a_reboot_cron_does_what_it_does_every_night() -> None:
    nightly, boot = (example.splitlines()[-1] for example in examples("crontab"))
    assert boot.split() == ["@reboot", *nightly.split()[5:]]


def test_a_quiet_run_that_fails_tells_what_was_held_back(airflow: Scheduler) -> None:
    with without_replica(airflow.values):
        done = pgrepl("run --from 03 --quiet --json", env=environment(airflow.values))
    assert done.returncode == 1 and "what to do:" in done.stderr
    result = json.loads(done.stdout)
    assert (
        result["status"] == "failed"
        and result["checks"]["failed"] == 1
        and "03-verificacao" in result["error"]
    )
    assert (
        json.loads((Path(result["folder"]) / SUMMARY).read_text("utf-8")).items() <= result.items()
    )
    assert (
        Path(result["report"]).parent == Path(result["folder"]) and Path(result["report"]).exists()
    )
    assert (
        "✘ failed" in done.stderr
        and "03-verificacao" in done.stderr
        and not CONTROL.search(done.stderr)
    )


def test_a_run_that_cannot_begin_answers_too(airflow: Scheduler) -> None:
    env = environment(airflow.values)
    with run_lock(Path(airflow.values["workdir"]) / airflow.values["project"]):
        refused = [(3, pgrepl("run --json", env=env)), (2, pgrepl("run --json --to 77", env=env))]
    for code, done in refused:
        result = json.loads(done.stdout)
        assert done.returncode == code and (result["run"], result["status"]) == (
            None,
            "not begun",
        ), done.stderr
        assert result["error"] in done.stderr


# --- a CI job ---------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_ci_job(values: Values, new_values: Callable[..., Values], tmp_path: Path) -> None:
    job = yaml.safe_load(examples("yaml")[0])["jobs"]["replication"]
    steps = {step["name"]: step for step in job["steps"] if "name" in step}
    install = steps.pop("Install")["run"]
    assert shell(install.replace("make", "make --dry-run"), dict(os.environ), ROOT).returncode == 0
    evidence = steps.pop("Keep the evidence")
    ours = new_values(project="ci", workdir=f"{values['workdir']}/job")
    assert set(job["env"]) < set(map(variable, ours)) and job["env"]["PGREPL_PROJECT"] == "ci"
    steps["Remove"]["run"] += " --json"
    for step in steps.values():
        script = step["run"].replace(".venv/bin", shlex.quote(str(BIN)))
        done = shell(
            script,
            {**environment(ours), "PGREPL_ENGINE": job["env"]["PGREPL_ENGINE"]},
            tmp_path,
            "/bin/bash",
        )
        assert done.returncode == 0, done.stderr + "".join(
            p.read_text() for p in Path(ours["workdir"]).glob("*/logs/*.log")
        )
    result = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert (
        result["status"] == "completed"
        and result["checks"]["failed"] == 0
        and result["steps"]["changed"] > 20
    )
    assert all(c["passed"] for c in json.loads((tmp_path / "checks.json").read_text("utf-8")))
    kept = evidence["with"]["path"].replace(job["env"]["PGREPL_WORKDIR"], ours["workdir"]).split()
    assert (
        all((tmp_path / path).exists() for path in kept)
        and evidence["if"] == steps["Remove"]["if"] == "always()"
    )
    assert Path(result["folder"]).parent == Path(kept[-1])
    assert {"data/primary (running)", "data/replica (running)"} <= set(
        json.loads(done.stdout)["removed"]
    )
    assert not open_cluster("", **ours).existing()


# --- every command ----------------------------------------------------------------------------------------------

CALLS = [
    "run --from 03",
    "run --resume",
    "projects",
    "status",
    "check",
    "lag",
    "dsn",
    "monitoring",
    "runs",
    "verify",
    "report",
    "diff RUN RUN",
    "plan",
    "secure --plan",
    "switchover --plan",
    "failover --force --plan",
    "replica add",
    "replica follow replica-2 replica",
    "rotate password",
    "replica rebuild replica-2",
    "sync 'FIRST 1'",
    "sync off",
    "switchover --to replica",
    "failover --force --to primary",
    "rejoin replica",
    "replica remove replica-2",
]
# down: by the CI job; the others need TLS, a class, or an exercise: by the tests of their own.
ELSEWHERE = {"down", "goto", "reset", "revoke", "rotate certificates"}
GROUPS = ("class ", "exercise ")


def reporting(group: Any = main, path: str = "") -> Iterator[str]:
    """The commands that have --json."""
    for name, command in group.commands.items():
        words = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            yield from reporting(command, words)
        elif any("--json" in p.opts for p in command.params):
            yield words


@pytest.mark.parametrize("words", ["status", "check", "lag", "runs", "plan", "switchover --plan"])
def test_text_has_no_control_characters_where_there_is_no_terminal(
    airflow: Scheduler, words: str
) -> None:
    done = pgrepl(words, env=environment(airflow.values))
    assert done.returncode == 0 and done.stdout and not CONTROL.search(done.stdout + done.stderr)


def test_every_command_answers_with_one_json_document_and_no_control_characters(
    airflow: Scheduler,
) -> None:
    assert {
        words
        for words in reporting()
        if not any(f"{call} ".startswith(f"{words} ") for call in CALLS)
        and not words.startswith(GROUPS)
    } == ELSEWHERE
    answers: dict[str, Any] = {}
    for call in CALLS:
        run = answers["runs"][-1]["run"] if "runs" in answers else ""
        done = pgrepl(f"{call.replace('RUN', run)} --json", env=environment(airflow.values))
        assert done.returncode == 0, f"{call}: {done.stderr}"
        answers[call] = json.loads(done.stdout)
        assert not CONTROL.search(done.stdout + done.stderr), call
    assert answers["run --from 03"]["checks"]["passed"] > 0
    assert answers["run --resume"] == {
        "run": answers["run --from 03"]["run"],
        "status": "completed",
        "resumed": False,
    }
    assert [s["title"] for s in answers["switchover --plan"]][2] == "Promote the new primary"
    assert answers["replica add"]["name"] == "replica-2" and answers[
        "replica follow replica-2 replica"
    ]["upstreams"] == {"replica": "primary", "replica-2": "replica"}
    assert [answers[c]["synchronous"] for c in ("sync 'FIRST 1'", "sync off")] == ["FIRST 1", ""]
    assert answers["switchover --to replica"]["primary"] == "replica"
    failed_over = answers["failover --force --to primary"]
    assert failed_over["primary"] == "primary" and list(failed_over["fenced"]) == ["replica"]
    assert [r["name"] for r in failed_over["choice"] if r["chosen"]] == ["primary"]
    assert answers["rejoin replica"]["upstreams"]["replica"] == "primary"


def test_papermill_alone_removes_the_cluster_and_leaves_the_evidence(
    airflow: Scheduler, tmp_path: Path
) -> None:
    given = {**airflow.values, "confirmar": True}
    options = [word for name, value in given.items() for word in ("-p", name, text(value))]
    source = os.path.relpath(ROOT / "notebooks/99-limpeza.ipynb", tmp_path)
    done = subprocess.run(
        [BIN / "papermill", "--no-progress-bar", source, "99.ipynb", *options],
        cwd=tmp_path,
        env=airflow.environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert not open_cluster("", **airflow.values).existing()
    journal = audit.Journal(Path(airflow.values["workdir"]) / airflow.values["project"])
    assert journal.first_broken_line() is None and list(journal.entries())[-1]["kind"] == "step"


# --- the documents ----------------------------------------------------------------------------------------------


def test_what_a_users_path_may_contain_is_quoted() -> None:
    """A shell would break it at its spaces; cron takes a variable's value as it stands."""
    for example in (*examples("sh"), *examples("crontab")):
        bare = re.sub(r'"[^"]*"|^\w+=.*', "", example, flags=re.M)
        assert not re.search(r"/(srv|var|tmp|home)/|\$\w", bare), example


def test_the_translation_has_the_same_examples() -> None:
    kinds = ("crontab", "sh", "yaml", "python")
    assert all(examples(kind) == examples(kind, "automacao.md") != [] for kind in kinds)
