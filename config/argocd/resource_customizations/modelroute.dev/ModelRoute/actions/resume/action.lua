if obj.metadata.annotations ~= nil then
  obj.metadata.annotations["modelroute.dev/suspended"] = nil
end
return obj
