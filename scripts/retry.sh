# Sourced by other scripts.
# retry COMMAND…: runs it up to three times, for registries that refuse a request for a moment.
retry() {
  local seconds
  for seconds in 5 10 0; do
    "$@" && return
    sleep "$seconds"
  done
  return 1
}
