-- part_trim.lua: lets go of completed jobs beyond count or age, at most `budget`. Returns how many, and whether more may be left. Needs
-- part_state.lua, and part_moves.lua where the queue has used more than plain jobs (its flags say so) or completed jobs were removed or retried.
local function trim_completed(budget)
  local before = budget
  -- @inline block_trim.lua
  return before - budget - dead, budget == 0
end
