"""The purge interfaces of other caches, so that their clients work unchanged.

fastly       /service/..., /purge/URL
cloudflare   /client/v4/zones/.../purge_cache
akamai       /ccu/v3/...
souin        /souin-api/souin...
varnish      PURGE, PURGEKEYS, PURGETAGS and BAN, as xkey, FOSHttpCache and API Platform send them
common       what they share

None of them knows partial success: what holds one invalid item is refused as a whole. None says
"done" before every process has applied the purge: until then it is 202.
"""
