"""Why a request is answered as it is: every decision with its reason, its numbers, its clause.

facts      an explanation as plain data                                       pure
advice     each reason's clause, and what would have to change for a hit      pure
parts      the parts of an explanation, from what the core decides            pure
words      an explanation in plain words                                      pure
joining    what several workers say, as one explanation                       pure
explainer  looks at what is stored, sends requests, remembers past ones
reference  docs/reasons.md, from the enum of reasons
"""

from proxy.explain.explainer import Explainer
from proxy.explain.facts import Explanation, Mode, Tier, shown
from proxy.explain.joining import jointly

__all__ = ["Explainer", "Explanation", "Mode", "Tier", "jointly", "shown"]
