"""Moments as arrays hold them: microseconds since 1970, UTC."""

from datetime import UTC, datetime, timedelta
from typing import Final

MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // MICROSECOND


def moment_of(since_1970: int) -> datetime:
    """The other way round, in UTC."""
    return _EPOCH + since_1970 * MICROSECOND
