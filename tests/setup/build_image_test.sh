# guest-agent/image/build-image, with a kernel package made here: an ELF file with a PVH note, packed
# behind a boot header, and modules that need one another.
# shellcheck shell=bash
# shellcheck source=tests/setup/check.sh
. "$(dirname "$0")/check.sh"

readonly build_image=$source_dir/guest-agent/image/build-image

# Writes number `$1` little-endian in `$2` bytes.
number() {
  local value=$1 count=$2
  while ((count--)); do
    # shellcheck disable=SC2059
    printf "\\x$(printf %02x $((value & 255)))"
    value=$((value >> 8))
  done
}

# make_vmlinux FILE [NOTE]: a static ELF program with a note of Xen's type 18 (PVH), or NOTE.
make_vmlinux() {
  printf '.section .note.Xen, "a", @note\n.long 4, 8, %d\n.asciz "Xen"\n.quad 0x1000850
    .text\n.globl _start\n_start: nop\n' "${2:-18}" >note.s
  gcc -nostdlib -static -Wl,--build-id=none -o "$1" note.s
}

# make_bzimage FILE PAYLOAD APPENDED-SIZE: boot protocol 2.15, 1 + 1 sectors of set-up, the payload
# 16 bytes into what follows. APPENDED-SIZE is empty for gzip, which has it at its own end.
make_bzimage() {
  local payload_size
  payload_size=$(($(stat --format=%s "$2") + (${#3} ? 4 : 0)))
  {
    head --bytes=$((0x1f1)) /dev/zero
    number 1 1
    head --bytes=$((0x202 - 0x1f2)) /dev/zero
    printf HdrS
    number $((0x20f)) 2
    head --bytes=$((0x248 - 0x208)) /dev/zero
    number 16 4
    number "$payload_size" 4
    head --bytes=$((1024 + 16 - 0x250)) /dev/zero
    cat "$2"
    [[ ! $3 ]] || number "$3" 4
    printf 'what follows the payload'
  } >"$1"
  # The four letters are where the header has them.
  expect_eq "$(dd if="$1" bs=1 skip=$((0x202)) count=4 status=none)" HdrS
}

# make_module NAME EXPORTS NEEDS [ALIAS]: a kernel module as depmod sees it.
make_module() {
  local function=init_${1##*/}
  {
    printf 'static const char l[] __attribute__((used, section(".modinfo"))) = "license=GPL";\n'
    [[ ! ${4-} ]] || printf 'static const char a[] __attribute__((used, section(".modinfo"))) = "alias=%s";\n' "$4"
    [[ ! $2 ]] || printf 'int %s(void) { return 1; }
      static const char e[] __attribute__((used, section("__ksymtab_strings"))) = "%s";\n' "$2" "$2"
    [[ ! $3 ]] || printf 'int %s(void); int %s(void) { return %s(); }\n' "$3" "${function//-/_}" "$3"
  } >module.c
  gcc -g -c -o "$tree/lib/modules/6.1.0-test/kernel/$1.ko" module.c
}

# make_package [PACKER [BZIMAGE]]: kernel.deb, a list `modules` for it, and an agent. PACKER: lz4,
# xz, zstd or gzip; or BZIMAGE as it is.
make_package() {
  local packer=${1:-lz4} bzimage=${2-}
  tree=$scratch/tree
  mkdir -p "$tree/boot" "$tree/lib/modules/6.1.0-test/kernel/tunnels" "$tree/DEBIAN"
  if [[ ! $bzimage ]]; then
    bzimage=$scratch/bzImage
    make_vmlinux vmlinux
    case $packer in
      lz4) lz4 -l -q -c vmlinux >payload ;;
      xz) xz --check=crc32 -c vmlinux >payload ;;
      zstd) zstd -q -c vmlinux >payload ;;
      gzip) gzip -c vmlinux >payload ;;
    esac
    local size
    size=$(stat --format=%s vmlinux)
    [[ $packer != gzip ]] || size=''
    make_bzimage "$bzimage" payload "$size"
  fi
  cp "$bzimage" "$tree/boot/vmlinuz-6.1.0-test"
  make_module ring ring_fn ''
  make_module bus-pci bus_fn ring_fn
  make_module filesystem '' bus_fn
  make_module network '' ring_fn rtnl-link-net
  make_module tunnels/gre '' ring_fn
  : >"$tree/lib/modules/6.1.0-test/modules.order"
  echo kernel/fs/ext4/ext4.ko >"$tree/lib/modules/6.1.0-test/modules.builtin"
  : >"$tree/lib/modules/6.1.0-test/modules.builtin.modinfo"
  printf 'Package: linux-image-6.1.0-test\nVersion: 1\nArchitecture: amd64\nMaintainer: a <a@b>\nDescription: a\n' \
    >"$tree/DEBIAN/control"
  dpkg-deb --build --root-owner-group -Znone "$tree" kernel.deb >/dev/null
  printf '[boot]\nfilesystem\next4\n# a comment\n\n[on-demand]\nnetwork\n?no_such\n' >modules
  printf 'int main(void) { return 0; }' >agent.c
  gcc -static -o agent agent.c
}

build() {
  "$build_image" --agent agent --out out --cache cache --deb kernel.deb --modules modules
}

unpack_initramfs() { (mkdir -p root && cd root && cpio --extract --quiet <"$scratch/out/initramfs.cpio"); }

# A run that failed leaves no temporary file and no half-written result.
expect_nothing_left() {
  expect_eq "$(ls "$TMPDIR")" ''
  expect_eq "$(ls out 2>/dev/null)" ''
}

takes_out() {
  make_package "$1"
  build
  cmp vmlinux out/vmlinux
  expect_eq "$(cat out/kernel-release)" 6.1.0-test
}
test_takes_out_a_kernel_packed_with_lz4() { takes_out lz4; }
test_takes_out_a_kernel_packed_with_xz() { takes_out xz; }
test_takes_out_a_kernel_packed_with_zstd() { takes_out zstd; }
test_takes_out_a_kernel_packed_with_gzip() { takes_out gzip; }

test_gives_the_same_bytes_twice() {
  make_package
  build
  mv out first
  rm -rf cache
  sed -i 's/$/ /' modules  # another time stamp, the same meaning
  build
  cmp first/initramfs.cpio out/initramfs.cpio
  cmp first/vmlinux out/vmlinux
}

test_names_the_packing_that_it_does_not_know() {
  printf 'BZh91AY&SY, that is bzip2' >payload
  make_bzimage image payload 1
  make_package '' "$scratch/image"
  expect_failure build
  expect_in "$output" "vmlinuz-6.1.0-test is packed in a way that is not known here (it begins with 425a68393141); LZ4, zstd, xz and gzip are"
  expect_nothing_left
}

test_refuses_a_kernel_of_another_size_than_its_header_says() {
  make_vmlinux vmlinux
  lz4 -l -q -c vmlinux >payload
  make_bzimage image payload 12345
  make_package '' "$scratch/image"
  expect_failure build
  expect_in "$output" ' bytes, its header says 12345'
  expect_nothing_left
}

test_refuses_what_is_no_bzimage() {
  head --bytes=4096 /dev/zero >image
  make_package '' "$scratch/image"
  expect_failure build
  expect_in "$output" 'vmlinuz-6.1.0-test is no bzImage'
}

test_refuses_a_kernel_that_qemu_cannot_enter() {
  make_vmlinux vmlinux 17
  lz4 -l -q -c vmlinux >payload
  make_bzimage image payload "$(stat --format=%s vmlinux)"
  make_package '' "$scratch/image"
  expect_failure build
  expect_in "$output" 'has no PVH note'
}

test_lists_boot_modules_in_the_order_of_loading() {
  make_package
  build
  unpack_initramfs
  expect_eq "$(cat root/etc/modules)" \
    $'/lib/modules/ring.ko\n/lib/modules/bus_pci.ko\n/lib/modules/filesystem.ko'
  root/init || fail "the agent does not run any more"
}

test_writes_what_each_module_needs() {
  make_package
  build
  unpack_initramfs
  expect_eq "$(cat root/lib/modules/agentvm.dep)" \
    $'bus_pci: ring\nfilesystem: ring bus_pci\nnetwork: ring\nring:'
  local name
  for name in bus_pci filesystem network ring; do
    [[ $(readelf --sections "root/lib/modules/$name.ko") != *debug_info* ]] || fail "$name: not stripped"
  done
  [[ ! -e root/lib/modules/ext4.ko ]] || fail "a module that is built in was packed"
}

test_puts_what_a_running_guest_may_load_beside_the_image() {
  make_package
  printf '[shared]\nnetwork\ntunnels/\n?no_such\next4\n' >>modules
  build
  expect_eq "$(cat out/kernel-modules/agentvm.dep)" $'gre: ring\nnetwork: ring\nring:'
  [[ -e out/kernel-modules/gre.ko && -e out/kernel-modules/ring.ko ]] || fail "a module is missing"
  expect_eq "$(cat out/kernel-modules/modules.alias)" 'alias rtnl-link-net network'
}

test_names_a_directory_that_the_kernel_lacks() {
  make_package
  printf '[shared]\nno/such/\n' >>modules
  expect_failure build
  expect_in "$output" "modules: this kernel has no directory 'no/such/'"
  expect_nothing_left
}

test_names_a_module_that_the_kernel_lacks() {
  make_package
  echo misspelt >>modules
  expect_failure build
  expect_in "$output" "modules: this kernel has no module 'misspelt'"
  expect_nothing_left
}

test_refuses_an_agent_that_is_not_static() {
  make_package
  gcc -o agent agent.c
  expect_failure build
  expect_in "$output" 'agent is not static: it would need a loader, which the guest does not have'
  expect_nothing_left
}

test_installed_it_makes_the_installed_image_anew() {
  make_package
  mkdir -p prefix/{sbin,libexec/agentvm,share/agentvm}
  cp "$build_image" prefix/sbin/agentvm-kernel
  cp agent prefix/libexec/agentvm/agentvm-agent
  cp modules prefix/share/agentvm/modules
  prefix/sbin/agentvm-kernel --deb kernel.deb --cache cache
  expect_eq "$(ls prefix/share/agentvm)" $'initramfs.cpio\nkernel-modules\nkernel-release\nmodules\nvmlinux'
}

run_test "$@"
