"""Which eviction policy finds most: hit ratios on synthetic and real traces, beside the optimum.

python -m tests.bench.eviction

`traces` has what is asked for, `policies` who leaves, `optimum` what nobody can do better, and
`report` the page and the plot in docs/. Nothing here depends on the machine or the time of day.
"""
