# shellcheck shell=bash
# To be sourced by scripts that trap signals.

# await PID: waits for a child, whatever signals come; its exit status. A signal that is trapped ends `wait` with a status
# above 128, and the child may end in that very moment: then a second `wait` has the child's own status.
await() {
  local status again
  while true; do
    wait "$1"
    status=$?
    (( status > 128 )) || return "$status"
    kill -0 "$1" 2>/dev/null && continue
    wait "$1" 2>/dev/null
    again=$?
    (( again == 127 )) && return "$status"
    return "$again"
  done
}
