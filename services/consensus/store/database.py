"""One connection to a member's database, and what its errors mean."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from services.consensus.ports import StoreError
from services.consensus.store.backend import Backend

T = TypeVar("T")


class Database:
    """The connection; used by one thread at a time, claimed for this process until `close`."""

    def __init__(self, backend: Backend) -> None:
        """Claim the database and connect.

        Raises:
            StoreRefused: It may not be used.
            StoreError: It cannot be used.
        """
        self.backend: Final = backend
        backend.claim()
        with contextlib.ExitStack() as undo:
            undo.callback(backend.release)
            self._engine = sa.create_engine(backend.url, poolclass=sa.NullPool, **backend.engine_options)
            undo.callback(self._engine.dispose)
            sa.event.listen(self._engine, "begin", lambda opened: opened.exec_driver_sql(backend.begin_statement))
            self._connection = self._connect()
            undo.pop_all()

    @property
    def dialect(self) -> sa.Dialect:
        """How statements are written."""
        return self._engine.dialect

    @property
    def raw(self) -> Any:
        """The driver's connection."""
        return self._connection.connection.driver_connection

    @contextlib.contextmanager
    def core_transaction(self) -> Iterator[sa.Connection]:
        """Give the connection for statements of Core, in a transaction.

        Raises:
            StoreError: The database did not do it.
        """
        try:
            with self._connection.begin():
                yield self._connection
        except sa.exc.DBAPIError as error:
            raise self.backend.translate(_cause(error)) from error

    def transaction(self, work: Callable[[Any], T]) -> T:
        """Run statements on a cursor in one durable transaction and return what `work` does.

        Raises:
            StoreError: Nothing was written, except that `StoreLost` leaves it open.
        """
        try:
            cursor = self.raw.cursor()
            cursor.execute(self.backend.begin_statement)
            done = work(cursor)
            self.raw.commit()
        except StoreError:
            self._roll_back()
            raise
        except Exception as error:
            self._roll_back()
            raise self.backend.translate(error) from error
        return done

    def act(self, work: Callable[[Any], T]) -> T:
        """Use the driver's connection outside a transaction.

        Raises:
            StoreError: It failed.
        """
        try:
            return work(self.raw)
        except StoreError:
            raise
        except Exception as error:
            raise self.backend.translate(error) from error

    def reconnect(self) -> None:
        """Connect anew; raises as the first time."""
        if not self._connection.closed:  # It is when the last try failed.
            self._connection.invalidate()
            self._connection.close()
        self._connection = self._connect()

    def close(self) -> None:
        """Let the database go."""
        self._connection.close()
        self._engine.dispose()
        self.backend.release()

    def _connect(self) -> sa.Connection:
        try:
            connection = self._engine.connect()
        except sa.exc.DBAPIError as error:
            raise self.backend.translate(_cause(error)) from error
        try:
            self.backend.prepare(connection.connection.driver_connection)
        except StoreError:
            connection.close()
            raise
        except Exception as error:
            connection.close()
            raise self.backend.translate(error) from error
        return connection

    def _roll_back(self) -> None:
        # A connection that cannot roll back has lost the transaction anyway.
        with contextlib.suppress(Exception):
            self.raw.rollback()


def _cause(error: sa.exc.DBAPIError) -> Exception:
    return error.orig if isinstance(error.orig, Exception) else error
