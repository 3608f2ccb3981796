"""What two processes expose, as one."""

from proxy.metrics import PLAIN, join

ONE = """\
# HELP warmfront_requests_total Answered requests.
# TYPE warmfront_requests_total counter
warmfront_requests_total{route="a",status="2xx",outcome="hit"} 3.0
warmfront_requests_total{route="a",status="2xx",outcome="miss"} 1.0
# HELP warmfront_purge_log_position Number of the last purge applied here.
# TYPE warmfront_purge_log_position gauge
warmfront_purge_log_position 7.0
# HELP warmfront_purge_log_age_seconds Since the log was last read to its end.
# TYPE warmfront_purge_log_age_seconds gauge
warmfront_purge_log_age_seconds 0.5
# HELP warmfront_request_duration_seconds From a request to its answer's head.
# TYPE warmfront_request_duration_seconds histogram
warmfront_request_duration_seconds_bucket{le="0.1",outcome="hit"} 2.0
warmfront_request_duration_seconds_bucket{le="+Inf",outcome="hit"} 3.0
warmfront_request_duration_seconds_count{outcome="hit"} 3.0
warmfront_request_duration_seconds_sum{outcome="hit"} 1.5
"""

OTHER = """\
# HELP warmfront_requests_total Answered requests.
# TYPE warmfront_requests_total counter
warmfront_requests_total{route="a",status="2xx",outcome="hit"} 4.0
warmfront_requests_total{route="b",status="2xx",outcome="hit"} 1.0
# HELP warmfront_purge_log_position Number of the last purge applied here.
# TYPE warmfront_purge_log_position gauge
warmfront_purge_log_position 6.0
# HELP warmfront_purge_log_age_seconds Since the log was last read to its end.
# TYPE warmfront_purge_log_age_seconds gauge
warmfront_purge_log_age_seconds 0.25
# HELP warmfront_request_duration_seconds From a request to its answer's head.
# TYPE warmfront_request_duration_seconds histogram
warmfront_request_duration_seconds_bucket{le="0.1",outcome="hit"} 1.0
warmfront_request_duration_seconds_bucket{le="+Inf",outcome="hit"} 1.0
warmfront_request_duration_seconds_count{outcome="hit"} 1.0
warmfront_request_duration_seconds_sum{outcome="hit"} 0.05
"""


def test_each_metric_adds_up_as_its_kind_does() -> None:
    joined = join([ONE, OTHER], PLAIN)
    assert joined.media_type.startswith("text/plain")
    lines = {line for line in joined.text.decode().splitlines() if not line.startswith("#")}
    assert lines == {
        'warmfront_requests_total{outcome="hit",route="a",status="2xx"} 7.0',
        'warmfront_requests_total{outcome="miss",route="a",status="2xx"} 1.0',
        'warmfront_requests_total{outcome="hit",route="b",status="2xx"} 1.0',
        "warmfront_purge_log_position 6.0",
        "warmfront_purge_log_age_seconds 0.5",
        'warmfront_request_duration_seconds_bucket{le="0.1",outcome="hit"} 3.0',
        'warmfront_request_duration_seconds_bucket{le="+Inf",outcome="hit"} 4.0',
        'warmfront_request_duration_seconds_count{outcome="hit"} 4.0',
        'warmfront_request_duration_seconds_sum{outcome="hit"} 1.55',
    }


def test_openmetrics_can_be_had_of_them() -> None:
    asked = join([ONE], "application/openmetrics-text; version=1.0.0")
    assert asked.media_type.startswith("application/openmetrics-text")
    assert asked.text.endswith(b"# EOF\n")
