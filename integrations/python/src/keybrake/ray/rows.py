"""Ray Data: `map_batches` with a vault key per batch and an idempotency key per row.

A batch whose worker dies half-way is done again from its first row. Its rows have the idempotency keys
that they had, so what was charged is answered, not charged. The batch's key is issued under a hash of
those, so the second try spends from the first one's budget, and does not get another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import KeybrakeError
from ..keys import VaultKey
from .lease import issue_for_rows
from .spend import Spend

Row = Mapping[str, Any]
Batch = dict[str, Any]


def rows(
    spend: Spend, *, parent: VaultKey | None = None, errors: str | None = None
) -> Callable[[Callable[[Any, Row], Row]], Callable[[Batch], Batch]]:
    """Makes a function of a row one of a batch, for `map_batches` with its default `batch_format`.

        @keybrake.ray.rows(SUBSCRIPTION)
        def charge(lease, row):
            made = lease.stripe().v1.charges.create({…}, {"idempotency_key": lease.idempotency_key})
            return {"charge_id": made.id}

        dataset.map_batches(charge, batch_size=100)

    What the function returns is put beside the row's columns. The batch's key may spend what its rows
    are expected to cost, and each call no more than the most expensive row. It is not revoked by the
    worker, which may die right after; it expires, or ends with its parent: give it one.

    Args:
        spend: what a row may cost and do. `business` names columns; a row's number in the batch or a
            partition's id do not belong there, since another run of the dataset has others.
        parent: a key from whose budget all batches spend.
        errors: a column for the code of a row's terminal refusal, with which the others go on. Without
            it, the first one fails the dataset.
    """

    def decorate(function: Callable[[Any, Row], Row]) -> Callable[[Batch], Batch]:
        def charge_batch(batch: Batch) -> Batch:
            found = _rows_of(batch)
            if not found:
                return batch
            lease = issue_for_rows(spend, found, parent=parent)
            results: list[Row] = []
            for row in found:
                one = lease.named(spend.idempotency_key(row))
                try:
                    results.append(function(one, row))
                except KeybrakeError as error:
                    if errors is None or not error.terminal:
                        raise
                    results.append({errors: error.code})
                # A refresh is for all rows that follow.
                lease.key = one.key
            return {**batch, **_columns(results, errors)}

        charge_batch.__name__ = getattr(function, "__name__", "rows")
        return charge_batch

    return decorate


def _rows_of(batch: Batch) -> list[dict[str, Any]]:
    if not isinstance(batch, dict):
        raise TypeError(f"rows need map_batches(batch_format='numpy'), not batches of {type(batch).__name__}")
    columns = {name: [_plain(value) for value in column] for name, column in batch.items()}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _plain(value: Any) -> Any:
    """Python's own int for NumPy's, so that a row has one idempotency key however it came here."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value


def _columns(results: list[Row], errors: str | None) -> Batch:
    names = dict.fromkeys(name for result in results for name in result)
    if errors is not None:
        names.setdefault(errors)
    return {name: [result.get(name) for result in results] for name in names}
