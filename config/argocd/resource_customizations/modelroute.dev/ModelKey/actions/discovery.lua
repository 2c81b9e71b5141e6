local actions = {}
actions["rotate-key"] = {}
return actions
