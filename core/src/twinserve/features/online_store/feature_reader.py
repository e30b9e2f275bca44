"""What every reader of an online store gives: the features of some candidates, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from twinserve.errors import TransientError
from twinserve.features.online_store.read_plan import Keys


@dataclass(frozen=True, slots=True)
class OnlineRows:
    """What the online store holds for a list of candidates, in their order.

    Attributes:
        values: (rows, features) float64, NaN where there is no value; a stale one is still there.
        status: (rows, features) of `twinserve.missing.Status`.
        complete: every cell is `PRESENT`.
        absent: features, as `view:feature`, that some rows were written without; their cells are `UNKNOWN`.
    """

    values: NDArray[np.float64]
    status: NDArray[np.int8]
    complete: bool
    absent: tuple[str, ...] = ()


class SomeKeysUnavailable(TransientError):
    """Only a part of the store fails just now: a read without the keys that lie there may succeed."""


class FeatureReader(Protocol):
    """Reads the features of one contract."""

    async def read(self, keys: Keys, asked: int) -> OnlineRows:
        """The features of all candidates.

        Args:
            keys: join key → one value a candidate; all of one length.
            asked: µs since 1970 UTC at which a value must still be fresh.

        Raises:
            TransientError: the store does not answer in time, or refuses.
            SomeKeysUnavailable: the same of a part of the store, while another part has answered.
            ValueError: a key that its type can't hold.
            PermanentError: the store holds something that is no number, or refuses one of the keys.
        """
        ...

    async def close(self) -> None:
        """Let go of the store. Reads after that are refused."""
        ...
