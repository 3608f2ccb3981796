"""What several workers say of the same request, as one explanation."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from proxy.explain.facts import Explanation, Outcome
from proxy.explain.words import told


def jointly(found: Sequence[Explanation]) -> Explanation:
    """The first one, or the first for which something is stored; and how many agree with it.

    Args:
        found: Of what each of them would do; at least one.
    """
    stored = (one for one in found if one.reuse.outcome is not Outcome.MISS)
    outcomes = Counter(one.reuse.outcome.value for one in found)
    return told(replace(next(stored, found[0]), workers=dict(outcomes)))
