"""Two workers of a Dask cluster that others started, for tests of what runs on one."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest


class Cluster(NamedTuple):
    """Where it is, and who speaks to it."""

    address: str
    client: Any


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """They know the file system whose files kill; who loses one is not tried long."""
    import dask  # here, as most tests do without
    import fsspec
    from distributed import Client

    from tests.stand_ins import deadly
    from wine_serving import workers

    forked = {"distributed.worker.multiprocessing-method": "forkserver"}  # from one process that has imported the most
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1} | forked),
        workers.on_this_machine(2) as started,
        Client(started) as client,
    ):
        fsspec.register_implementation(deadly.PROTOCOL, deadly.Deadly, clobber=True)
        client.register_plugin(deadly.Knows())
        yield Cluster(started.scheduler_address, client)


@pytest.fixture
def on_cluster(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """What takes a cluster takes that one."""
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.address)
    return cluster
