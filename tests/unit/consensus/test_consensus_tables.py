"""Rows, tables and migrations name the same columns: what the machine writes, every database keeps."""

from __future__ import annotations

import sqlalchemy as sa

from services.consensus.state.machine import Machine
from services.consensus.state.rows import SHAPES
from services.consensus.store import migrations, tables


def test_every_table_of_the_machine_has_the_columns_of_its_rows() -> None:
    assert set(tables.STATE_TABLES) == set(SHAPES) == set(Machine().tables())
    for name, shape in SHAPES.items():
        table = tables.STATE_TABLES[name]
        assert tuple(table.columns.keys()) == shape.columns
        assert tuple(column.name for column in table.primary_key.columns) == shape.key


def test_migrations_make_the_tables_as_they_are_described() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        migrations.upgrade(connection)
        inspector = sa.inspect(connection)
        for name, table in tables.metadata.tables.items():
            made = {column["name"]: (str(column["type"]), column["nullable"]) for column in inspector.get_columns(name)}
            assert made == {column.name: (str(column.type), column.nullable) for column in table.columns}
    engine.dispose()
