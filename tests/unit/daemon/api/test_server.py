"""The server of the HTTP API, where there is none."""

from daemon.api.server import ApiServer, Served
from tests.support.settings import settings_for


def never() -> Served:
    raise AssertionError("the application was made")


async def test_a_replica_without_an_api_makes_none_of_it() -> None:
    server = ApiServer(settings_for("", "crm", api_port=0), never)
    await server.start()
    await server.stop()
    assert server.address is None
