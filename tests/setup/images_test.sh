# sandbox/images/agentvm-images: what it refuses before it asks a Docker for anything. The images
# themselves: tests/e2e/agent_images_test.cpp.
# shellcheck shell=bash
# shellcheck source=tests/setup/check.sh
. "$(dirname "$0")/check.sh"

readonly images=$source_dir/sandbox/images/agentvm-images
export DOCKER_HOST=unix:///no/such/socket HOME=/nonexistent

test_says_what_it_can_do() {
  expect_in "$("$images" --help)" 'usage: agentvm image base'
  expect_failure "$images"
  expect_in "$output" 'usage: agentvm image base'
}

test_refuses_what_it_does_not_know() {
  expect_failure "$images" destroy
  expect_eq "$output" "agentvm image: unknown verb 'destroy'; see --help"
  expect_failure "$images" build --mirro=x
  expect_eq "$output" "agentvm image: unknown option '--mirro'; see --help"
  expect_failure "$images" build --mirror
  expect_eq "$output" 'agentvm image: --mirror needs a value'
  expect_failure "$images" base --suite '../x'
  expect_eq "$output" "agentvm image: --suite: '../x' is no release of Debian"
  expect_failure "$images" build --ca no-such-file
  expect_eq "$output" "agentvm image: cannot read 'no-such-file'"
  expect_failure "$images" ls claude
  expect_eq "$output" "agentvm image: 'claude' is too much; see --help"
}

test_names_the_images_that_there_are() {
  expect_failure "$images" build clod
  expect_eq "$output" "agentvm image: no image 'clod'; there are: base claude codex copilot gemini kiro opencode shell"
  expect_failure "$images" build --cli-version 1.0 claude codex
  expect_eq "$output" 'agentvm image: --cli-version is for one image that has a program of that version'
}

test_takes_the_users_images_for_its_own() {
  mkdir -p config/agentvm/images/mine
  touch config/agentvm/images/mine/Dockerfile
  XDG_CONFIG_HOME=$PWD/config expect_failure "$images" build clod
  expect_in "$output" 'kiro mine opencode'
}

test_says_that_no_docker_answers() {
  command -v docker >/dev/null || skip "docker is not installed"
  expect_failure "$images" build claude
  expect_in "$output" 'agentvm image: no Docker answers: '
  expect_in "$output" '/no/such/socket'
}

run_test "$@"
