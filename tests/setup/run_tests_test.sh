# ./run-tests: that it counts, and that its exit status is right. In a tree of its own, where cmake
# does nothing and ctest writes a report that stands here.
# shellcheck shell=bash
# shellcheck source=tests/setup/check.sh
. "$(dirname "$0")/check.sh"

make_tree() {
  mkdir -p tree/{setup,tests,build/release,bin}
  cp "$source_dir/run-tests" tree/
  cp "$source_dir/setup/steps.sh" tree/setup/
  printf '#!/bin/sh\n' | tee tree/setup/install-packages tree/bin/cmake >/dev/null
  printf 'Kvm.Boots\n' >tree/tests/allowed_skips
  cat >tree/bin/ctest <<'CTEST'
#!/bin/bash
while (($#)); do [[ $1 != --output-junit ]] || cp report.xml "$2"; shift; done
CTEST
  chmod +x tree/bin/* tree/setup/install-packages
  printf '<testsuite>\n' >tree/report.xml
}

# add NAME STATUS [MESSAGE]: a test in the report.
add() {
  printf '\t<testcase name="%s" classname="x" time="0" status="%s">\n' "$1" "$2"
  [[ ! ${3-} ]] || printf '\t\t<skipped message="%s"/>\n' "$3"
  printf '\t\t<system-out>x.cpp:2: Skipped\nno /dev/kvm here\n</system-out>\n\t</testcase>\n'
} >>tree/report.xml

run() { PATH=$scratch/tree/bin:$PATH tree/run-tests --quick; }

test_counts_in_its_last_line() {
  make_tree
  add 'Mount &quot;a&quot; &amp; b' run
  add B.Works run
  add Kvm.Boots notrun SKIP_REGULAR_EXPRESSION_MATCHED
  output=$(CI='' run)
  expect_eq "$(tail -n 2 <<<"$output")" \
    $'SKIPPED  Kvm.Boots (no /dev/kvm here)\n2 passed, 0 failed, 1 skipped'
}

test_fails_and_names_what_failed() {
  make_tree
  add A.Works run
  add B.Breaks fail
  expect_failure env CI= PATH="$scratch/tree/bin:$PATH" tree/run-tests --quick
  expect_eq "$(tail -n 2 <<<"$output")" $'FAILED   release: B.Breaks\n1 passed, 1 failed, 0 skipped'
}

test_takes_a_test_without_its_program_for_failed() {
  make_tree
  add A.Works run
  add B.Missing notrun 'Unable to find executable'
  expect_failure run
  expect_in "$output" 'FAILED   release: B.Missing'
}

test_fails_when_no_test_ran() {
  make_tree
  expect_failure run
  expect_in "$output" '0 passed, 0 failed, 0 skipped'
}

test_ends_what_was_begun_ahead() {
  local how
  for how in ahead_end 'exit 1'; do
    rm -f pid
    bash -c ". '$source_dir/setup/steps.sh'; steps_log log
      ahead bash -c 'echo \$\$ >pid.new; mv pid.new pid; exec sleep 1000'
      until [[ -e pid ]]; do sleep 0.05; done
      $how" || true
    expect_failure kill -0 "$(<pid)"
  done
}

test_allows_in_ci_only_the_skips_that_are_named() {
  make_tree
  add A.Works run
  add Kvm.Boots notrun SKIP_RETURN_CODE=77
  CI=true run >/dev/null
  add C.Skips notrun SKIP_RETURN_CODE=77
  CI='' run >/dev/null
  expect_failure env CI=true PATH="$scratch/tree/bin:$PATH" tree/run-tests --quick
  expect_in "$output" 'FAILED   C.Skips (no /dev/kvm here): skipped, and tests/allowed_skips does not name it'
  expect_in "$output" '1 passed, 1 failed, 1 skipped'
}

run_test "$@"
