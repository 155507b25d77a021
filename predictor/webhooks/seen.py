"""Seen: which ids have come already, as far back as an id may come at all, in bounded memory."""

import heapq

from predictor.webhooks.delivery_errors import DeliveryRepeated, DeliveryStale


class Seen:
    """Ids with their timestamps, in seconds since the epoch; at most `most`.

    Where there are more, the oldest is forgotten, and all that is not newer refused from then on: what
    is forgotten can never come again.
    """

    def __init__(self, window_seconds: int, most: int = 10_000) -> None:
        self._window = window_seconds
        self._most = most
        self._oldest_first: list[tuple[int, str]] = []
        self._ids: set[str] = set()
        self._forgotten_up_to = 0

    def check(self, identity: str, timestamp: int, now: float) -> None:
        """Remember an id that comes `now`. Raises DeliveryStale or DeliveryRepeated."""
        if abs(now - timestamp) > self._window:
            raise DeliveryStale(now - timestamp, self._window)
        while self._oldest_first and self._oldest_first[0][0] < now - self._window:
            self._forgotten_up_to = max(self._forgotten_up_to, self._forget_the_oldest())
        if identity in self._ids:
            raise DeliveryRepeated
        if len(self._ids) >= self._most:
            self._forgotten_up_to = max(self._forgotten_up_to, self._forget_the_oldest())
        if timestamp <= self._forgotten_up_to:
            raise DeliveryStale(now - timestamp, now - self._forgotten_up_to)
        self._ids.add(identity)
        heapq.heappush(self._oldest_first, (timestamp, identity))

    def _forget_the_oldest(self) -> int:
        timestamp, identity = heapq.heappop(self._oldest_first)
        self._ids.remove(identity)
        return timestamp
