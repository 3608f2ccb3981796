"""`warmfront demo`: a small API that is slow on purpose, with Warmfront in front of it.

api     the sample API, an ordinary aiohttp application that knows nothing of the cache
tour    the requests worth trying, what is announced for each, and playing them
show    starting both sides, and what the terminal shows
"""
