# `cmake --install` of a built tree, staged: install_test.sh BUILD-DIR PREFIX
# shellcheck shell=bash
# shellcheck source=tests/setup/check.sh
. "$(dirname "$0")/check.sh"

build=$(readlink -f "$1") prefix=$2

test_install() {
  local file config=$scratch/stage/etc/agentvm/config.toml
  export DESTDIR=$scratch/stage
  cmake --install "$build" >/dev/null
  for file in bin/agentvm bin/containerd-shim-agentvm-v2 libexec/agentvm/agentvm-vsock libexec/agentvm/agentvm-agent \
    libexec/agentvm/agentvm-gateway libexec/agentvm/agentvm-images libexec/agentvm/agentvm-sandbox \
    sbin/agentvm-kernel share/agentvm/modules share/agentvm/vmlinux share/agentvm/initramfs.cpio \
    share/agentvm/images/base/Dockerfile share/agentvm/images/make-debian \
    share/agentvm/sandbox/guest/enter.sh share/agentvm/sandbox/agents/claude.toml \
    share/agentvm/sandbox/presets/balanced.toml share/agentvm/sandbox/completion/bash \
    share/agentvm/kernel-release share/agentvm/kernel-modules/agentvm.dep \
    share/man/man1/agentvm-sandbox.1 share/doc/agentvm/README.md share/doc/agentvm/config.toml; do
    [[ -e $DESTDIR$prefix/$file ]] || fail "$prefix/$file is missing"
  done
  cmp "$config" "$source_dir/runtime/config.toml"
  expect_eq "$(stat --format=%a "$config")" 644

  echo '# mine' >>"$config"
  cmake --install "$build" >/dev/null
  expect_eq "$(tail -n 1 "$config")" '# mine'

  expect_failure cmake --install "$build" --prefix "$scratch/elsewhere"
  expect_in "$output" "This tree is built for the prefix $prefix"
}

run_test install
