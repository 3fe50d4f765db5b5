#!/bin/sh
# Compares what the wire room accepts with another parser: run.sh <generator> node|h11 [<number of messages> [<seed>]]
# EVENKEEL_DIFFERENTIAL_COUNT and EVENKEEL_DIFFERENTIAL_SEED do the same for ctest. Ends with 77, which ctest shows as
# skipped, if the other parser is not installed.
set -eu
here=$(dirname "$0")
generator=$1
parser=$2
count=${3:-${EVENKEEL_DIFFERENTIAL_COUNT:-60000}}
seed=${4:-${EVENKEEL_DIFFERENTIAL_SEED:-1}}

case $parser in
node)
  if ! node -e 'require("_http_common").HTTPParser.REQUEST' 2>/dev/null; then
    echo "skipped: node is missing, or it has no HTTPParser (apt-get install nodejs)"
    exit 77
  fi
  set -- node "$here/against_node.js"
  ;;
h11)
  # Debian's package belongs to Debian's interpreter, which need not be the first one in the path.
  python=
  for candidate in python3 /usr/bin/python3; do
    if "$candidate" -c 'import h11' 2>/dev/null; then python=$candidate; break; fi
  done
  if [ -z "$python" ]; then
    echo "skipped: h11 is missing (apt-get install python3-h11)"
    exit 77
  fi
  set -- "$python" "$here/against_h11.py"
  ;;
*)
  echo "usage: $0 <generator> node|h11 [<number of messages> [<seed>]]" >&2
  exit 2
  ;;
esac
"$generator" "$count" "$seed" | "$@"
