"""What runs inside Redis for the purge log: each script is one atomic step.

Keys, all in the hash slot of `{purge}`:

    ns:{purge}:head      hash    id, seq, floor, server, settled, shape: the log's one identity
    ns:{purge}:hard      zset    scope -> number of its last hard purge
    ns:{purge}:soft      zset    scope -> number of its last soft purge
    ns:{purge}:times     hash    scope or "soft REGEX" -> when it was last purged softly
    ns:{purge}:patterns  zset    "MODE REGEX" -> number
    ns:{purge}:log       stream  every purge under the id NUMBER-0, with approximate trimming
    ns:{purge}:nodes     hash    process -> "POSITION BEAT"

They have no expiry, so that no volatile-* policy evicts them, and they are bounded.

Redis loses things: a replica is promoted without the last writes, a server restarts empty or from
an old file, an operator flushes, a policy evicts. A purge that was acknowledged and then lost would
let old entries pass. So every script first makes sure that the log is the one it was:

    the server that wrote it last is this one      (run_id: restart, failover)
    no key has fewer or more members than noted    (eviction, DEL)
    nobody has read further than it goes           (rollback within one run)

Where one of these fails the log is *cut*: it gets a new id and goes on empty, with numbers and a
floor above every number ever given, so nothing born before is valid, wherever it is kept. The
number is the server's clock in microseconds or what a reader has seen, whichever is greater: no log
records a million purges a second, so no later log gives a number twice.
"""

from proxy.redis_link import Script

KEYS = ("head", "hard", "soft", "times", "patterns", "log", "nodes")

_FLAGS = "#!lua flags=allow-oom\n"
"""Redis 7: a full server takes purges too; they are small and bounded."""

_COMMON = """
local head, hard, soft, times, patterns, log, nodes = unpack(KEYS)

local function text(number) return string.format('%.0f', number) end

local function server()
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
end

local function shape()
  return table.concat({
    redis.call('ZCARD', hard), redis.call('ZCARD', soft), redis.call('HLEN', times),
    redis.call('ZCARD', patterns), redis.call('HLEN', nodes)}, ' ')
end

local function read(seen)
  local h = redis.call('HMGET', head, 'id', 'seq', 'floor', 'server', 'settled', 'shape')
  local state = {id = h[1], seq = tonumber(h[2] or 0), floor = tonumber(h[3] or 0),
                 settled = tonumber(h[5] or 0)}
  local intact = h[1] and h[4] == server() and h[6] == shape() and seen <= state.seq
  return state, intact
end

local function open(seen, new_id)
  local state, intact = read(seen)
  if intact then return state end
  local now = redis.call('TIME')
  local seq = math.max(seen, state.seq, now[1] * 1000000 + now[2]) + 1
  redis.call('DEL', head, hard, soft, times, patterns, log, nodes)
  redis.call('XADD', log, text(seq) .. '-0', 'cut', new_id)
  redis.call('HSET', head, 'id', new_id, 'seq', text(seq), 'floor', text(seq),
             'server', server(), 'settled', 0, 'shape', shape())
  return {id = new_id, seq = seq, floor = seq, settled = 0}
end
"""

_SYNC = """
local id, seen, new_id, name, beat, settled, count = unpack(ARGV)
seen = tonumber(seen)
local state = open(seen, new_id)
if id ~= state.id then
  local found = redis.call('ZRANGE', patterns, 0, -1, 'WITHSCORES')
  local held = {}
  for i = 1, #found, 2 do
    held[#held + 1] = {tonumber(found[i + 1]), found[i], redis.call('HGET', times, found[i]) or '0'}
  end
  return {state.id, state.seq, state.floor, held}
end
redis.call('HSET', nodes, name, text(seen) .. ' ' .. beat)
if settled == '1' and state.settled == 0 then redis.call('HSET', head, 'settled', 1) end
redis.call('HSET', head, 'shape', shape())
local records = {}
if seen < state.seq then
  records = redis.call('XRANGE', log, text(seen + 1), text(state.seq), 'COUNT', count)
end
return {state.id, state.seq, state.floor, records}
"""

_APPEND = """
local seen, new_id, mode, pattern, scope_limit, pattern_limit, length, scopes = unpack(ARGV, 1, 8)
local state = open(tonumber(seen), new_id)
local now = redis.call('TIME')
local at = now[1] .. '.' .. string.format('%06d', now[2])
local seq = text(state.seq + 1)

local function trim(key, limit)
  local surplus = redis.call('ZCARD', key) - limit
  if surplus <= 0 then return end
  local oldest = redis.call('ZRANGE', key, 0, surplus - 1, 'WITHSCORES')
  for i = 1, #oldest, 2 do
    if key ~= hard then redis.call('HDEL', times, oldest[i]) end
    state.floor = math.max(state.floor, tonumber(oldest[i + 1]))
  end
  redis.call('ZREMRANGEBYRANK', key, 0, surplus - 1)
end

for i = 9, #ARGV do
  redis.call('ZADD', mode == 'soft' and soft or hard, seq, ARGV[i])
  if mode == 'soft' then redis.call('HSET', times, ARGV[i], at) end
end
if pattern ~= '' then
  redis.call('ZADD', patterns, seq, mode .. ' ' .. pattern)
  if mode == 'soft' then redis.call('HSET', times, mode .. ' ' .. pattern, at) end
end
trim(hard, tonumber(scope_limit))
trim(soft, tonumber(scope_limit))
trim(patterns, tonumber(pattern_limit))
redis.call('XADD', log, 'MAXLEN', '~', length, seq .. '-0',
           'at', at, 'mode', mode, 'pattern', pattern, 'scopes', scopes)
redis.call('HSET', head, 'seq', seq, 'floor', text(state.floor), 'shape', shape())
return {state.id, state.seq + 1, at}
"""

_JUDGE = """
local id, seen, born = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local state, intact = read(seen)
if not intact or id ~= state.id then return {''} end
if born > state.seq or born < state.floor then return {id, state.seq, 'invalid', '0'} end
local scopes = {unpack(ARGV, 4)}
for _, score in ipairs(redis.call('ZMSCORE', hard, unpack(scopes))) do
  if score and tonumber(score) > born then return {id, state.seq, 'invalid', '0'} end
end
local earliest
for i, score in ipairs(redis.call('ZMSCORE', soft, unpack(scopes))) do
  if score and tonumber(score) > born then
    local at = redis.call('HGET', times, scopes[i]) or '0'
    if not earliest or tonumber(at) < tonumber(earliest) then earliest = at end
  end
end
return {id, state.seq, earliest and 'softened' or 'valid', earliest or '0'}
"""

_STATUS = """
local state = open(0, ARGV[1])
for i = 2, #ARGV, 2 do
  if redis.call('HGET', nodes, ARGV[i]) == ARGV[i + 1] then redis.call('HDEL', nodes, ARGV[i]) end
end
redis.call('HSET', head, 'shape', shape())
return {state.id, state.seq, state.settled, redis.call('HGETALL', nodes)}
"""

_LEAVE = """
local _, intact = read(0)
if intact then
  redis.call('HDEL', nodes, ARGV[1])
  redis.call('HSET', head, 'shape', shape())
end
return {1}
"""


def _script(body: str) -> tuple[Script, Script]:
    return Script(_FLAGS + _COMMON + body), Script(_COMMON + body)


SYNC = _script(_SYNC)
"""id, seen, new id, name, beat, settled, count -> id, seq, floor, records.

With the log's own id: publish that `seen` is applied, get what follows. With any other: get where
to begin, and all patterns as (number, "MODE REGEX", time).
"""

APPEND = _script(_APPEND)
"""seen, new id, mode, pattern, limits (scopes, patterns, stream), JSON of scopes, scopes... ->
id, number, time.
"""

JUDGE = _script(_JUDGE)
"""id, seen, born, scopes... -> id, seq, verdict, time of softening; ("",) where track is lost."""

STATUS = _script(_STATUS)
"""new id, (name, record)... -> id, seq, settled, nodes flat; forgets nodes whose record is that."""

LEAVE = _script(_LEAVE)
"""name -> (1,)"""
