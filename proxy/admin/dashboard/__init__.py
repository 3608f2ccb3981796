"""The dashboard: the admin API for people, in a browser.

front       its operations, and who may use them
sessions    who has logged in
files       what browsers load, and the rules under which they do
live        figures as they come: server-sent events
static/     the pages; `static/vendor` is not ours, its licence lies beside it

A session is good for `/dashboard/...` alone: the admin API itself knows no cookies, so that
nothing a browser does of its own accord reaches it. What the page asks of the API goes through
`/dashboard/api/...`, and needs a field besides, whose value only the page knows.
"""

from proxy.admin.dashboard.front import Dashboard

__all__ = ["Dashboard"]
