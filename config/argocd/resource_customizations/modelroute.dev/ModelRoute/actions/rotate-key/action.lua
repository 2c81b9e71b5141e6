-- An annotation, since Argo CD would undo a change of the spec that is not in git.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["modelroute.dev/rotate"] = os.date("!%Y-%m-%dT%XZ")
return obj
