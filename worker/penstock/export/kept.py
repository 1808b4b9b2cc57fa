"""What a table says to the items of a new run: which it has already, and which it can never hold.

Asked batch by batch while the run is planned, so before anything is paid for.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from penstock import jsons
from penstock.export.cells import as_text, key_of, readable
from penstock.export.fit import check_musts, no_key
from penstock.export.table import FIELD, Table, kept_query
from penstock.sources.user_database import plain_words
from penstock.spec.processor import Processor


class TableLook:
    """A look at a table for each batch of items.

    skip_where: the condition, None when it does not count. is_target: results go there, so that
    every item must have a key that the table can hold.
    """

    def __init__(
        self,
        connection: asyncpg.Connection,
        table: Table,
        processor: Processor,
        address: str,
        *,
        skip_where: str | None,
        is_target: bool,
    ) -> None:
        self._connection, self._table, self._address = connection, table, address
        self._processor = processor
        self._query = None if skip_where is None else kept_query(table, skip_where)
        self._is_target = is_target
        self._must_tell = is_target  # what a first row must have is asked once

    async def kept(self, items: Sequence[tuple[str, str]]) -> set[int]:
        """Of items (ID, payload) those whose row meets the condition: their places in the list.

        Raises InputError, also for what no row can hold.
        """
        texts = [self._key(item_id, jsons.loads(payload)) for item_id, payload in items]
        if items and self._must_tell:
            self._must_tell = False
            await self._check_first(items[0][1])
        if self._query is None:
            return set()
        with plain_words(self._address, f"{FIELD}.skipWhere"):
            async with self._connection.transaction(readonly=True):
                rows = await self._connection.fetch(self._query, texts)
        return {row[0] - 1 for row in rows}

    def _key(self, item_id: str, item: object) -> str | None:
        key = self._table.key
        text = as_text(key_of(item, item_id, key.name), key)
        found = readable(text, key)
        if found is None and self._is_target:
            raise no_key(self._table, item_id, text)
        return found

    async def _check_first(self, payload: str) -> None:
        if any(column.must for column in self._table.columns.values()):
            with plain_words(self._address, f"{FIELD}.table"):
                query = f"SELECT EXISTS (SELECT FROM {self._table.name})"
                has_rows = await self._connection.fetchval(query)
            if not has_rows:
                check_musts(self._processor, self._table, jsons.loads(payload))
