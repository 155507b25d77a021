"""Line: work that waits its turn, first come, first served, at one or several equal servers."""

import heapq


class Line:
    """Give it work in the order in which it comes; it says when each piece is done."""

    def __init__(self, servers: int = 1) -> None:
        self._free_at = [0.0] * servers
        #: Seconds of work that were taken, of all servers together.
        self.busy = 0.0

    def take(self, now: float, seconds: float) -> float:
        """When work that comes now and takes `seconds` ends; whoever came before is served before."""
        end = max(now, self._free_at[0]) + seconds
        heapq.heapreplace(self._free_at, end)
        self.busy += seconds
        return end


def mean_wait(load: float, seconds: float) -> float:
    """The mean wait in an M/D/1 queue (Pollaczek and Khinchine), for one server that is busy `load` of the time.

    Arrivals are Poisson's, and each takes `seconds`. Many replicas that each poll on a beat of their
    own come close to it, and stay below it.
    """
    return load * seconds / (2 * (1 - load))
