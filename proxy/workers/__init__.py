"""Several processes on one set of sockets, and the supervisor that stands over them.

supervisor   processes and signals; answers no request itself
listening    the sockets of all, which the supervisor holds
hub          the supervisor's end of the channels: numbers purges, passes questions on
orders       what a worker is told when it starts
worker       one of them: the same proxy as ever, with a channel to the supervisor
"""

from proxy.workers.supervisor import VARIABLE, supervise
from proxy.workers.worker import work

__all__ = ["VARIABLE", "supervise", "work"]
