"""Warmfront: a transparent HTTP caching reverse proxy.

The map, from the outside in (imports point down only, see docs/architecture.md):

    cli          the command line: run, check, demo; purge, entries, tags, warm, reload
    demo         a sample API with the proxy in front of it, and a tour
    workers      several processes as one: a supervisor and its workers
    process      the proxy as a process of its own: what signals do
    app          composition root: builds everything from the settings, starts, drains, stops
    joint_control  all workers as the admin API drives them
    control      the proxy as the admin API drives it
    upstreams    the origins of the settings, as those who ask them need them
    listeners    the listeners of the settings, as servers need them
    figures      what /stats and the dashboard tell
    metrics      events as integers, and all figures as Prometheus metrics
    tracing      OpenTelemetry spans, where they are asked for
    warm_start   after the start: fetching what clients will ask for
    reloading    settings read anew while requests go on
    refilling    after a purge: fetching anew what was in demand
    admin        the admin listener: purge, look, warm; our API and those of other caches
    explain      why a request is answered as it is, as data and in words
    server       the public listener: bytes <-> Incoming and Outgoing
    gateway      the one orchestrator: lookup, fetch, validate, store, deliver
    backing      the purge log and the store: memory alone, or Redis behind it
    access_log   one line for each request
    journal      hits that are given again, until they are told
    background   bounded, supervised work that outlives a request
    origin       the HTTP client that talks to the API
    stores       where entries live
    purging      what entries can be purged by, and the log of purges
    redis_link   the way to Redis: modes, TLS, time limits, circuit breaker
    events       what happened, for the log
    request_ids  what requests are called, so that people can speak of one
    exchange     the types that server, gateway and origin hand to each other
    routes       which policy a request gets
    tags         the names that stored responses are purged by
    settings     the YAML, as pydantic models
    logs         events as log lines
    http1        what both ends read in HTTP/1.1: fields, the chunked coding
    clock        the only wall clock
    garbage      when Python looks for reference cycles
    histogram    durations, counted by how long they are
    channel      calls and news between two processes over a socket
    sitemaps     lists of addresses, and where they are: files and sitemaps
    token_file   the admin token that is made where none is given
    problems     what is wrong with what an operator wrote, and what to write instead
    units        durations and sizes, as text
    descriptors  file descriptors: how many there are, and for whom
    client       the admin API from the other side, for the API's own code
    rfc9111      the pure core: every caching decision, with no clock and no socket
"""

__version__ = "0.1.0"
