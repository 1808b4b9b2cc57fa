"""A real Kubernetes for the tests below this folder, and a namespace for each of them.

The cluster is the one that PENSTOCK_E2E_KUBECONFIG names, else the one `make cluster` started. With
CI=true and neither, one is started here and ended after the tests. Else the tests are skipped. All
this is decided once, by the process that collects the results; pytest-xdist's are told.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.errors import ClusterError
from tests.conftest import CI
from tests.e2e import diagnosis, parts, target
from tests.e2e.command import cluster as cluster_command
from tests.e2e.kube import Kube
from tests.e2e.namespace import Namespace, Namespaces
from tests.e2e.target import Target

# The longest a test may take, with its fixtures, on a machine that is five times slower than usual.
SECONDS = 900

HERE = Path(__file__).parent
TARGET = pytest.StashKey[Target]()
REASON = pytest.StashKey[str]()
NAMESPACES = pytest.StashKey[Namespaces]()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Finds or starts the cluster, and everything that is built for it, before any test."""
    config = session.config
    told = getattr(config, "workerinput", None)
    if told is not None:
        if told["penstock_target"]:
            config.stash[TARGET] = Target(**told["penstock_target"])
        config.stash[REASON] = told["penstock_reason"]
        return
    config.stash[REASON] = ""
    if config.option.collectonly:
        return
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            kubeconfig = _found_or_started(config)
            if kubeconfig is not None:
                config.stash[TARGET] = target.prepare(kubeconfig)
        except (ClusterError, subprocess.CalledProcessError) as error:
            pytest.exit(f"no cluster for the tests: {error}", returncode=1)


def _found_or_started(config: pytest.Config) -> Path | None:
    """None where there is no cluster and nobody has asked for one."""
    try:
        return target.find()
    except ClusterError as error:
        if target.named():
            raise
        if not CI:
            config.stash[REASON] = str(error)
            return None
    # Ended by a job runner: then, too, the cluster is taken down.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config.add_cleanup(lambda: cluster_command("down"))
    cluster_command("up")
    return target.find()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells a process of pytest-xdist what was found."""
    stash = node.config.stash
    node.workerinput["penstock_target"] = stash[TARGET].told() if TARGET in stash else None
    node.workerinput["penstock_reason"] = stash[REASON]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a cluster the tests are skipped; on somebody else's, those about our own are left
    out."""
    ours = [item for item in items if HERE in item.path.parents]
    found = config.stash.get(TARGET, None)
    for item in ours:
        item.add_marker(pytest.mark.timeout(SECONDS))
        if found is None and not config.option.collectonly:
            reason = config.stash.get(REASON, "") or "name this folder: pytest tests/e2e"
            item.add_marker(pytest.mark.skip(reason=reason))
    if found is not None and not found.own:
        out = [item for item in ours if item.get_closest_marker("own_cluster")]
        items[:] = [item for item in items if item not in out]
        config.hook.pytest_deselected(items=out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says which tests had no cluster, why, and what would run them."""
    folder = HERE.relative_to(HERE.parents[1]).as_posix()
    skipped = [
        report.nodeid
        for report in terminalreporter.stats.get("skipped", ())
        if report.nodeid.startswith(folder)
    ]
    if not skipped:
        return
    terminalreporter.section("end-to-end tests that did not run")
    for name in skipped:
        terminalreporter.write_line(name)
    reason = terminalreporter.config.stash.get(REASON, "")
    terminalreporter.write_line(f"{len(skipped)} tests were skipped: {reason}")
    terminalreporter.write_line("To run them: sudo make cluster && sudo make test")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """When a test fails, keeps what its namespaces hold before they go."""
    report = yield
    namespaces = item.config.stash.get(NAMESPACES, None)
    if report.failed and namespaces and namespaces.open:
        own = item.config.stash[TARGET].own
        text = diagnosis.keep(f"{item.nodeid}-{report.when}", namespaces.open, own=own)
        report.sections.append(("Kubernetes", text))
    return report


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Target:
    """The cluster, with the references of all images."""
    return pytestconfig.stash[TARGET]


@pytest.fixture(scope="session")
def kube(cluster: Target) -> Kube:
    """Its API, as the administrator."""
    return Kube(Path(cluster.kubeconfig), Path(cluster.programs["kubectl"]))


@pytest.fixture(scope="session")
def namespaces(kube: Kube, pytestconfig: pytest.Config) -> Namespaces:
    """For tests that need a namespace more, or one for several tests."""
    made = Namespaces(kube)
    pytestconfig.stash[NAMESPACES] = made
    return made


@pytest.fixture
def namespace(namespaces: Namespaces) -> Iterator[Namespace]:
    """A namespace of this test's own; only pods of the restricted standard get in."""
    made = namespaces.create()
    yield made
    namespaces.delete(made)


@pytest.fixture
def postgres(namespace: Namespace, cluster: Target) -> parts.Postgres:
    """PostgreSQL in the test's namespace, in place of the one other tests have."""
    return parts.start_postgres(namespace, cluster.images["postgres"])
