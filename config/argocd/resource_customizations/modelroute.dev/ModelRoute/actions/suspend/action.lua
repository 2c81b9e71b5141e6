-- An annotation, since Argo CD would undo a change of the spec that is not in git.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["modelroute.dev/suspended"] = "true"
return obj
