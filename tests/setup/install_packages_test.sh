# setup/install-packages: what it takes for missing, by a `packages` of its own.
# shellcheck shell=bash
# shellcheck source=tests/setup/check.sh
. "$(dirname "$0")/check.sh"

missing() {
  mkdir -p setup
  cp "$source_dir/setup/install-packages" setup/
  printf '%s\n' "$1" >packages
  setup/install-packages --missing build
}

test_takes_a_package_that_is_there_for_there() {
  expect_eq "$(missing $'[other]\nno-such-a\n[build]\n# no-such-b\nbash')" ''
}

test_prints_a_package_that_is_missing() {
  expect_eq "$(missing $'[build]\nbash\nno-such-package\n[other]\nno-such-b')" no-such-package
}

test_takes_any_alternative_that_is_there() {
  expect_eq "$(missing $'[build]\nno-such-package | bash')" ''
}

test_leaves_an_optional_package_that_the_distribution_lacks() {
  expect_eq "$(missing $'[build]\n?no-such-package /no/such/file')" ''
}

test_names_a_section_that_does_not_exist() {
  expect_failure missing $'[run]\nbash'
  expect_in "$output" 'install-packages: the file packages has no section [build]'
}

test_the_shipped_list_has_the_sections_that_the_scripts_name() {
  "$source_dir/setup/install-packages" --missing build run test bench lint kernel >/dev/null
}

run_test "$@"
