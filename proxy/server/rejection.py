"""Requests that are refused before anybody else sees them."""


class RequestRejected(Exception):  # noqa: N818 - it is a verdict on the request
    """A request that cannot, or must not, be understood.

    The connection closes after the answer: where this request ends is not known for certain, so
    nothing behind it may be read as another one.

    Attributes:
        status: What to answer.
        detail: One sentence for the client; never an echo of what it sent.
        to_head: The method is HEAD, so the answer has no content.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.to_head = False
