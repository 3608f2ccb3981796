"""What Redis must do in one step. Every script keeps to one hash slot and expires what it writes.

A field of an entries hash is a frame: `order(8) stamp(16) record`; see codec for the record. The
field `#` counts what was ever written, so that variants keep their order.
"""

from proxy.redis_link import Script

ORDER_FIELD = b"#"
ORDER_SIZE, STAMP_SIZE = 8, 16
FRAME_SIZE = ORDER_SIZE + STAMP_SIZE

_FORGET = """
local function forget(field, frame)
  redis.call('HDEL', KEYS[1], field)
  if #frame < 24 + 52 then return end
  local body, _, chunk = struct.unpack('>I8I4I4', frame, 24 + 9)
  if chunk == 0 or body > chunk * 65536 then return end
  local stamp = string.gsub(string.sub(frame, 9, 24), '.', function(byte)
    return string.format('%02x', string.byte(byte))
  end)
  for number = 0, math.ceil(body / chunk) - 1 do
    redis.call('UNLINK', ARGV[1] .. stamp .. ':' .. number)
  end
end
"""

PUT = Script(
    _FORGET
    + """
-- KEYS: entries. ARGV: chunk prefix, field, stamp and record, TTL in ms, most variants, now.
-- 1 when kept; 0 when the same variant was asked for later by somebody else.
-- Nothing is written before HINCRBY unless it must be: after a first write, a full server lets the
-- script go on.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('UNLINK', KEYS[1]) end
local new = ARGV[3]
local old = redis.call('HGET', KEYS[1], ARGV[2])
if old and #old >= 24 + 52 and string.sub(old, 25, 27) == string.sub(new, 17, 19)
    and struct.unpack('>d', old, 24 + 33) > struct.unpack('>d', new, 16 + 33) then
  return 0
end
local order = redis.pcall('HINCRBY', KEYS[1], '#', 1)
if type(order) ~= 'number' then
  if not string.find(order.err, 'not an integer') then return order end
  redis.call('HSET', KEYS[1], '#', 1)
  order = 1
end
if old and string.sub(old, 9, 24) ~= string.sub(new, 1, 16) then forget(ARGV[2], old) end
redis.call('HSET', KEYS[1], ARGV[2], struct.pack('>I8', order) .. new)
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
if redis.call('HLEN', KEYS[1]) - 1 > tonumber(ARGV[5]) then
  -- Too many: what is useless goes, then what is oldest.
  local now = tonumber(ARGV[6])
  local frames, kept = redis.call('HGETALL', KEYS[1]), {}
  for i = 1, #frames, 2 do
    local field, frame = frames[i], frames[i + 1]
    if field ~= '#' then
      if #frame < 24 + 52 or struct.unpack('>d', frame, 24 + 41) <= now then
        forget(field, frame)
      else
        table.insert(kept, {struct.unpack('>I8', frame), field, frame})
      end
    end
  end
  table.sort(kept, function(a, b) return a[1] < b[1] end)
  for i = 1, #kept - tonumber(ARGV[5]) do forget(kept[i][2], kept[i][3]) end
end
return 1
"""
)

REMOVE = Script(
    _FORGET
    + """
-- KEYS: entries. ARGV: chunk prefix, field, identity. Drops the record with this identity.
local frame = redis.call('HGET', KEYS[1], ARGV[2])
if not frame or #frame < 24 + 52 then return 0 end
if string.sub(frame, 24 + 9, 24 + 20) .. string.sub(frame, 24 + 25, 24 + 40) ~= ARGV[3] then
  return 0
end
forget(ARGV[2], frame)
if redis.call('HLEN', KEYS[1]) <= 1 then redis.call('UNLINK', KEYS[1]) end
return 1
"""
)

DISCARD = Script(
    """
-- KEYS: entries. ARGV: then field and SHA-1 of each frame that could not be read.
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return redis.call('UNLINK', KEYS[1]) end
for i = 1, #ARGV, 2 do
  local frame = redis.call('HGET', KEYS[1], ARGV[i])
  if frame and redis.sha1hex(frame) == ARGV[i + 1] then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
return 0
"""
)

INDEX = Script(
    """
-- KEYS: sorted sets. ARGV: score (when it expires), now, TTL in ms, then a member for each key.
for i, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'zset' and kind ~= 'none' then redis.call('UNLINK', key) end
  redis.call('ZADD', key, 'GT', ARGV[1], ARGV[3 + i])
  -- A bounded share each time, so that no write pays for all that has expired.
  local expired = redis.call('ZCOUNT', key, '-inf', '(' .. ARGV[2])
  if expired > 0 then
    redis.call('ZREMRANGEBYRANK', key, 0, math.min(expired, 1000) - 1)
  end
  if redis.call('PTTL', key) < tonumber(ARGV[3]) then redis.call('PEXPIRE', key, ARGV[3]) end
end
return 0
"""
)

UNINDEX = Script(
    """
-- KEYS: sorted set. ARGV: member and score in turn. Drops those that nobody has written since.
for i = 1, #ARGV, 2 do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
return 0
"""
)

# A lock is `<born>:<token>`. Without a token it is a mark: the last fill found nothing to share.

TAKE = Script(
    """
-- KEYS: lock, entries. ARGV: born, token, TTL in ms. 1 when taken, 0 while somebody fills, -1 at a
-- mark; then whether entries exist. What was born before the caller is no obstacle.
local held = redis.pcall('GET', KEYS[1])
local born, token = string.match(type(held) == 'string' and held or '', '^(%d+):(.*)$')
if born and tonumber(born) >= tonumber(ARGV[1]) then return {token == '' and -1 or 0, 0} end
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. ARGV[2], 'PX', ARGV[3])
return {1, redis.call('EXISTS', KEYS[2])}
"""
)

RELEASE = Script(
    """
-- KEYS: lock, which also names the channel. ARGV: born and token, what became of the fill, TTL of
-- the mark in ms.
local own = redis.pcall('GET', KEYS[1]) == ARGV[1]
if own and ARGV[2] == 'unstorable' then
  redis.call('SET', KEYS[1], string.match(ARGV[1], '^%d+:'), 'PX', ARGV[3])
elseif own then
  redis.call('DEL', KEYS[1])
end
if own or ARGV[2] == 'stored' then redis.call('PUBLISH', KEYS[1], ARGV[2]) end
return own and 1 or 0
"""
)
