-- The health of an InferenceService, for Argo CD. docs/operations.md explains where to put it.
local function condition(type)
  for _, found in ipairs((obj.status or {}).conditions or {}) do
    if found.type == type then
      return found
    end
  end
  return {status = "Unknown", reason = "", message = ""}
end

local function health(status, why)
  return {status = status, message = why.reason == "" and why.message or why.reason .. ": " .. why.message}
end

if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "The operator has not observed the current spec yet."}
end

local ready, stalled, reconciling = condition("Ready"), condition("Stalled"), condition("Reconciling")
local accepted = condition("Accepted")

if accepted.reason == "Paused" then
  return health("Suspended", accepted)
elseif stalled.status == "True" then
  return health("Degraded", stalled)
elseif ready.reason == "ScaledToZero" then
  return health("Suspended", ready)
elseif reconciling.status == "True" then
  return health("Progressing", reconciling)
elseif ready.status == "True" then
  return health("Healthy", ready)
end
return health("Progressing", ready)
