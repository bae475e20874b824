# ./quickstart on hosts where it cannot do its work: it says why, and which command mends it.
# shellcheck shell=bash
# shellcheck source=tests/setup/check.sh
. "$(dirname "$0")/check.sh"

test_says_that_it_needs_root() {
  unshare --user true 2>/dev/null || skip 'this host allows no user namespaces'
  expect_failure unshare --user "$source_dir/quickstart" --yes --prefix /opt/agentvm
  expect_in "$output" 'quickstart: this needs root: it'
  expect_in "$output" 'writes to'
  expect_in "$output" '/opt/agentvm and starts microVMs. Run: sudo ./quickstart'
}

test_says_what_to_do_without_apt() {
  local tool
  mkdir bin
  for tool in bash dirname readlink uname cat; do ln -s "$(command -v "$tool")" bin/; done
  expect_failure env PATH="$scratch/bin" "$source_dir/quickstart" --yes
  expect_in "$output" 'quickstart: this host has no apt-get'
  expect_in "$output" 'cmake --preset release && cmake --build --preset release'
}

test_names_an_unknown_option() {
  expect_failure "$source_dir/quickstart" --frefix /usr
  expect_eq "$output" "quickstart: unknown option '--frefix'; see --help"
}

test_refuses_a_relative_prefix() {
  expect_failure "$source_dir/quickstart" --prefix here
  expect_eq "$output" "quickstart: --prefix: 'here' is not an absolute path"
}

run_test "$@"
