"""The database is made, upgraded and refused as it should, and says why in a sentence."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from ortlab.errors import StoreError
from ortlab.store import schema
from ortlab.store.database import JOURNAL_MODE, SAFE_WAL, Database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ortlab.sqlite"


def opened(path: Path, *, busy_timeout_s: float = 0.2) -> Database:
    database = Database(path, busy_timeout_s=busy_timeout_s)
    with database.reading() as connection:
        connection.execute(text("SELECT count(*) FROM study"))
    return database


def pragma(database: Database, name: str) -> object:
    with database.reading() as connection:
        return connection.execute(text(f"PRAGMA {name}")).scalar()


def test_migrations_make_the_tables_that_the_code_uses(path: Path) -> None:
    opened(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


def test_the_newest_migration_is_the_one_the_code_expects(path: Path) -> None:
    opened(path)
    with closing(sqlite3.connect(path)) as connection:
        (found,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert found == schema.REVISION


def test_opening_an_up_to_date_store_does_not_load_alembic(path: Path) -> None:
    opened(path)
    code = (
        "import sys; from pathlib import Path; from ortlab.store.database import Database\n"
        f"with Database(Path({str(path)!r}), busy_timeout_s=1).reading(): pass\n"
        "sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    opened(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="9999") as refused:
        opened(path)
    assert (refused.value.kind, refused.value.exit_code) == ("newer_schema", 6)
    assert path.read_bytes() == before


def test_an_upgrade_keeps_a_backup_of_the_older_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = opened(path)
    # As if this store had been written by a release before the first one.
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
        connection.execute("INSERT INTO report VALUES ('old', 'kept', 'then')")
    monkeypatch.setattr("ortlab.store.database.migrate", lambda *_, **__: None)
    Database(path, busy_timeout_s=1)._upgrade("0000")
    (backup,) = (path.parent / "backups").iterdir()
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT document FROM report").fetchone() == ("kept",)
    assert database.path == path


def test_a_locked_database_is_told_as_locked(path: Path) -> None:
    database = opened(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError) as refused, database.writing():
            pass
    assert (refused.value.kind, refused.value.exit_code) == ("locked", 6)
    assert refused.value.hint


def test_a_writer_waits_for_another_that_is_quick(path: Path) -> None:
    database = opened(path, busy_timeout_s=30)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    timer.start()
    with database.writing() as connection:
        connection.execute(text("DELETE FROM report"))
    timer.join()
    other.close()


def test_a_failed_transaction_changes_nothing(path: Path) -> None:
    database = opened(path)
    with pytest.raises(StoreError, match="halfway"):
        _write_half(database)
    with database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM report")).scalar() == 0


def _write_half(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(text("INSERT INTO report VALUES ('a', 'b', 'c')"))
        raise StoreError("It failed halfway.")


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("these are not the rows you are looking for" * 100)
    with pytest.raises(StoreError, match="not a database") as refused:
        opened(path)
    assert refused.value.kind == "damaged"


def test_a_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE precious (things TEXT)")
    with pytest.raises(StoreError, match="not one of ortlab's"):
        opened(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)


def test_a_home_that_is_a_file_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(StoreError) as refused:
        opened(tmp_path / "home" / "ortlab.sqlite")
    assert refused.value.kind == "unreachable"


def test_the_write_ahead_log_is_used_only_where_sqlite_is_safe(path: Path) -> None:
    expected = "wal" if sqlite3.sqlite_version_info >= SAFE_WAL else "delete"
    database = opened(path)
    assert pragma(database, "journal_mode") == expected == JOURNAL_MODE.lower()
    assert pragma(database, "synchronous") == 2


def test_many_threads_open_a_new_home_at_once(path: Path) -> None:
    failures: list[BaseException] = []

    def open_one() -> None:
        try:
            opened(path, busy_timeout_s=30)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
