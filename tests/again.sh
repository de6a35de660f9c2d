# Sourced. again COMMAND…: up to three times, for what a registry may refuse for a moment.
again() {
  local seconds
  for seconds in 5 10 0; do
    "$@" && return
    sleep "$seconds"
  done
  return 1
}
