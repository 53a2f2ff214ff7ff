-- The built-in route, said in Lua: what a script costs is what is measured.
function route(request)
  if request.method == "PUBLISH" then
    if request:header("Sender") ~= nil then
      handle_publish(request:header("Sender"))
    else
      handle_publish()
    end
  elseif request.method == "SUBSCRIBE" then
    handle_subscribe()
  else
    default_route()
  end
end
