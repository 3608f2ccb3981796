"""RFC 9111 for a shared cache, as pure functions of plain data, a policy and `now`.

Nothing in here reads a clock, opens a socket or keeps a body. Times are POSIX seconds (float),
durations are seconds, header text is latin-1: one character is one byte of the wire.

    messages       Request, Response: heads without bodies
    stored         StoredResponse: a response head as the cache keeps it, with what was decided
    policy         what the operator may change
    reasons        why a decision fell as it did
    directives     Cache-Control and its relatives (§5.2, RFC 9213, Surrogate-Control)
    dates          HTTP dates (RFC 9110 §5.6.7)
    keys           primary key and Vary (§2, §4.1)
    freshness      lifetime and age (§4.2)
    storing        may it be stored, and what of it (§3)
    reuse          may it be reused now (§4, RFC 5861)
    validation     conditional requests and freshening (§4.3, §3.2)
    invalidation   what an unsafe request makes invalid (§4.4)
    preconditions  the client's own conditions (RFC 9110 §13)
    validators     what tells two representations apart (RFC 9110 §8.8.1, §8.8.2)
    parts          what a 206 brought, what it lacks, two made one (§3.3, §3.4)
    ranges         byte ranges, and what answers them (RFC 9110 §14)
    cache_status   the Cache-Status field (RFC 9211)
    groups         Cache-Groups (RFC 9875)
"""
