# shellcheck shell=bash
# To be sourced by scripts that trap signals.

# await PID: waits for a child, whatever signals come; its exit status. A signal that is trapped ends `wait` with a status
# above 128, and the child may end in that very moment: then a second `wait` has the child's own status, or bash has lost
# it (-1 in bash 5.2, 127 in others), which then counts as 0: the child was told to end, and has.
await() {
  local status again
  while true; do
    wait "$1"
    status=$?
    (( status > 128 )) || return "$status"
    kill -0 "$1" 2>/dev/null && continue
    wait "$1" 2>/dev/null
    again=$?
    (( again < 0 || again == 127 )) && return 0
    return "$again"
  done
}
