# What the tests of the shell scripts share: sourced. Each test is a function test_SENTENCE; the
# script that sources this ends with: run_test "$@"
# shellcheck shell=bash disable=SC2034
set -euo pipefail
shopt -s inherit_errexit

source_dir=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../..")
readonly source_dir

fail() { printf 'FAILED: %s\n' "$*"; exit 1; }

# expect_in TEXT PART: PART occurs in TEXT.
expect_in() { [[ $1 == *"$2"* ]] || fail "no '$2' in:"$'\n'"$1"; }
expect_eq() { [[ $1 == "$2" ]] || fail "got:"$'\n'"$1"$'\n'"expected:"$'\n'"$2"; }

# Runs the command, which has to fail, and leaves what it printed in $output.
expect_failure() {
  if output=$("$@" 2>&1); then fail "this should have failed: $*"$'\n'"$output"; fi
}

skip() {
  printf 'SKIPPED: %s\n' "$*"
  exit 77
}

# Runs test `$1` in a directory of its own, $scratch, which is also its TMPDIR.
run_test() {
  declare -F "test_${1-}" >/dev/null || fail "no test '${1-}'"
  scratch=$(mktemp -d)
  mkdir "$scratch/tmp"
  export TMPDIR=$scratch/tmp
  trap 'rm -rf -- "$scratch"' EXIT
  cd "$scratch"
  "test_$1"
}
