-- The health of every kind of ModelRoute's, all of which have the same conditions. A budget that is used up does what it is for: that is
-- healthy, and said. A Ready that is false is for good unless the operator is at work, which Reconciling says.
local hs = {}
hs.status = "Progressing"
hs.message = "Waiting for the operator"

if obj.status == nil or obj.status.conditions == nil then
  return hs
end
if obj.status.observedGeneration ~= nil and obj.status.observedGeneration ~= obj.metadata.generation then
  hs.message = "Waiting for the operator to look at the new spec"
  return hs
end

local isTrue, isFalse = {}, {}
for _, condition in ipairs(obj.status.conditions) do
  if condition.status == "True" then
    isTrue[condition.type] = condition
  elseif condition.status == "False" then
    isFalse[condition.type] = condition
  end
end

if isTrue.Stalled ~= nil then
  hs.status = "Degraded"
  hs.message = isTrue.Stalled.reason .. ": " .. isTrue.Stalled.message
elseif isTrue.Suspended ~= nil then
  hs.status = "Suspended"
  hs.message = isTrue.Suspended.message
elseif isTrue.Reconciling ~= nil then
  hs.message = isTrue.Reconciling.reason .. ": " .. isTrue.Reconciling.message
elseif isTrue.Ready ~= nil then
  hs.status = "Healthy"
  hs.message = (isFalse.WithinBudget or isTrue.Ready).message
elseif isFalse.Ready ~= nil then
  hs.status = "Degraded"
  hs.message = isFalse.Ready.reason .. ": " .. isFalse.Ready.message
end
return hs
