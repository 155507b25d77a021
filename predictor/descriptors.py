"""Descriptors: as many connections and files as the system lets this process have open at once."""

import resource

from predictor.logs import log

# Beside the clients' connections: those to the registry, those that are being refused, the cache's
# files, the log, the event loop's own, and what workers share.
OTHERS = 128


def allow(connections: int) -> None:
    """Raise the soft limit to what this many connections need; workers inherit it.

    Where the hard limit is lower, the soft one is raised to that, and the log says so: connections
    beyond it are not refused with 503, they wait until another one ends.
    """
    needed = connections + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError):  # macOS has a lower one that it does not tell
        allowed = soft
    if allowed < needed:
        log.warning(
            "descriptors_limited", needed=needed, allowed=allowed,
            next="raise the hard limit (`ulimit -Hn`), or lower PREDICTOR_MAX_CONNECTIONS",
        )  # fmt: skip
