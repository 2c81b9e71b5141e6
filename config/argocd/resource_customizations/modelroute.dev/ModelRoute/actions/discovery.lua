local annotations = obj.metadata.annotations or {}
local isSuspended = annotations["modelroute.dev/suspended"] == "true"

local actions = {}
actions["rotate-key"] = {}
actions["suspend"] = {["disabled"] = isSuspended}
actions["resume"] = {["disabled"] = not isSuspended}
return actions
