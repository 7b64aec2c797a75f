#!/usr/bin/env bash
# Makes the certificates with which the processes of pompc prove to each other who they are: a certificate authority (CA)
# of your own and one certificate for each role.
#
#   deploy/certificates.sh OUT_DIR [--days N] [--role ROLE]...    makes them, or renews them
#   deploy/certificates.sh OUT_DIR --check                        tells when they expire
#
# Roles: actor (evaluators too), planner, learner (all its ranks), replay, operator (for people: pompc status, stop,
# replay, planner). Without --role all of them. --role trial makes one for whole runs in one process, such as trials of a
# sweep, whose planners or actors are elsewhere: it may do what learner, replay, actor and operator may. N is the number of days for which certificates are good: 90 by default.
#
# In OUT_DIR are then
#
#   ca.crt, ca.key              the CA, good for ten years. Whoever has ca.key can make certificates: it stays where this
#                               script runs, and no process of pompc needs it.
#   ROLE/ca.crt, tls.crt, tls.key     what processes of that role get, as --certificates OUT_DIR/ROLE
#
# All processes of a role may share its folder, as certificates name no hosts: a server is believed by its role, which
# is in its certificate as the name pompc:role/ROLE of type URI (and, for clients that compare DNS names alone,
# ROLE.pompc). Run again with the same OUT_DIR, the script keeps the CA and all keys and writes new certificates.
# Processes look at their folder every ten seconds and go on with the new ones; copy them to other machines as you did
# the first ones. To begin anew, with another CA, give another folder.
#
# --check prints one line for each certificate, the CA's included, and exits with 1 if one has expired or is missing, or
# expires within N days (--days, here 14 by default).
#
# Examples:
#   deploy/certificates.sh /etc/pompc/certificates
#   pompc-replay --listen 10.0.0.1:7000 --certificates /etc/pompc/certificates/replay
#   deploy/certificates.sh /etc/pompc/certificates --days 30 --role actor
#   deploy/certificates.sh /etc/pompc/certificates --check --days 7
#   deploy/certificates.sh /etc/pompc/certificates --role trial
#   pompc sweep run sweep.textproto --certificates /etc/pompc/certificates/trial --planners 10.0.0.3:7000 --listen 10.0.0.2:0
set -euo pipefail

readonly ROLES=(actor planner learner replay operator)
# What a process of several roles is.
readonly TRIAL=(learner replay actor operator)
readonly CA_DAYS=3650

usage() { sed -n '2,36s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }
die() { echo "certificates.sh: $1" >&2; exit "${2:-1}"; }

out="" days="" check=false roles=()
while (( $# > 0 )); do
  case "$1" in
    --days | --role) (( $# > 1 )) || die "$1 needs a value" 2 ;;
  esac
  case "$1" in
    --help | -h) usage; exit 0 ;;
    --days) days="$2"; shift ;;
    --role) roles+=("$2"); shift ;;
    --check) check=true ;;
    -*) die "unknown argument '$1'; see --help" 2 ;;
    *) [[ -z "$out" ]] || die "one folder is enough: '$out' and '$1'" 2; out="$1" ;;
  esac
  shift
done
[[ -n "$out" ]] || die "name the folder to make them in; see --help" 2
if [[ -z "$days" ]]; then days=90; if $check; then days=14; fi; fi
[[ "$days" =~ ^[1-9][0-9]{0,3}$ ]] || die "--days: '$days'; allowed: 1 to 9999" 2
(( ${#roles[@]} > 0 )) || roles=("${ROLES[@]}")
for role in "${roles[@]}"; do
  [[ " ${ROLES[*]} trial " == *" $role "* ]] || die "--role: '$role'; allowed: ${ROLES[*]} trial" 2
done
command -v openssl >/dev/null || die "openssl is missing: apt-get install openssl"

# Keys are for their owner alone, also while they are written.
umask 077

# write FILE MODE: standard input becomes the file at once, so that nobody reads half of it. A subshell, so that no half
# file stays where the script is ended in the middle.
write() (
  new="$(mktemp "$1.XXXXXX")" || exit
  trap 'rm -f "$new"' EXIT
  cat >"$new" && [[ -s "$new" ]] && chmod "$2" "$new" && mv "$new" "$1"
)

make_key() {
  [[ ! -s "$1" ]] || return 0
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 2>/dev/null | write "$1" 600 || die "cannot make $1"
}

# The CA signs certificates of this run's roles and nothing else: no CA below it.
make_ca() {
  make_key "$out/ca.key"
  [[ ! -s "$out/ca.crt" ]] || return 0
  openssl req -x509 -new -key "$out/ca.key" -sha256 -days "$CA_DAYS" -subj "/O=pompc/CN=pompc CA" \
    -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign |
    write "$out/ca.crt" 644
}

# The same certificate serves and asks, since a learner does both. The URI says what its holder may do.
make_role() {
  local folder="$out/$1" names="" role may=("$1")
  if [[ "$1" == trial ]]; then may=("${TRIAL[@]}"); fi
  for role in "${may[@]}"; do names+=",URI:pompc:role/$role,DNS:$role.pompc"; done
  mkdir -p "$folder"
  make_key "$folder/tls.key"
  openssl req -new -key "$folder/tls.key" -subj "/O=pompc/OU=$1/CN=pompc $1" |
    openssl x509 -req -CA "$out/ca.crt" -CAkey "$out/ca.key" -sha256 -days "$days" \
      -set_serial "0x$(openssl rand -hex 16)" -extfile <(
        echo "basicConstraints=critical,CA:FALSE"
        echo "keyUsage=critical,digitalSignature"
        echo "extendedKeyUsage=serverAuth,clientAuth"
        echo "subjectAltName=${names#,}"
      ) 2>/dev/null | write "$folder/tls.crt" 644 || die "cannot make $folder/tls.crt with $out/ca.key"
  write "$folder/ca.crt" 644 <"$out/ca.crt"
}

# expiry FILE: one line; fails where it is missing or expires too soon.
expiry() {
  local end
  if [[ ! -s "$1" ]]; then
    printf '%-40s missing\n' "$1"
    return 1
  fi
  end="$(openssl x509 -in "$1" -noout -enddate -dateopt iso_8601)" || return 1
  if openssl x509 -in "$1" -noout -checkend $(( days * 86400 )) >/dev/null; then
    printf '%-40s good until %s\n' "$1" "${end#notAfter=}"
  else
    printf '%-40s EXPIRES %s, within %s days or before today\n' "$1" "${end#notAfter=}" "$days"
    return 1
  fi
}

if $check; then
  status=0
  expiry "$out/ca.crt" || status=1
  for role in "${roles[@]}"; do expiry "$out/$role/tls.crt" || status=1; done
  exit "$status"
fi

mkdir -p "$out"
if [[ -s "$out/ca.crt" && ! -s "$out/ca.key" ]]; then
  die "$out has a CA without its key (ca.key): run this where the key is, or give another folder"
fi
make_ca
for role in "${roles[@]}"; do make_role "$role"; done
echo "$out: certificates of ${roles[*]}, good for $days days"
