#!/bin/sh
# The way into a sandbox: as its first process (enter.sh main) and for every exec (enter.sh exec
# DIRECTORY USER COMMAND...). Begins as root of the guest, ends as the program it was made for.
# Everything beside it is written by the host and read-only here.
# shellcheck disable=SC2154  # sandbox_* come from the session
set -u
here=/run/agentvm-sandbox
# shellcheck source=/dev/null
. "$here/session"

# Where distributions keep the authorities that everybody trusts: Debian and Alpine, Red Hat, SUSE.
bundles='/etc/ssl/certs/ca-certificates.crt /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem
/etc/ssl/ca-bundle.pem'

# user, uid, gid, home: "agent" where the image has it and the workspace is not root's.
find_user() {
  user=root uid=0 gid=0 home=/root
  [ "$sandbox_uid" = 0 ] && [ -n "$sandbox_directory" ] && return 0
  entry=$(grep '^agent:' /etc/passwd 2>/dev/null) || return 0
  user=agent
  IFS=: read -r _ _ uid gid _ home _ <<END
$entry
END
}

# Gives "agent" the numbers that own the workspace, so that files have one owner on both sides.
map_user() {
  [ "$user" = agent ] && [ "$sandbox_uid" != 0 ] || return 0
  [ "$uid:$gid" = "$sandbox_uid:$sandbox_gid" ] && return 0
  new_gid=$sandbox_gid
  [ "$new_gid" = 0 ] && new_gid=$gid
  if [ -f /etc/group ] && ! grep -q "^[^:]*:[^:]*:$new_gid:" /etc/group; then
    sed -i "s/^agent:\([^:]*\):[0-9]*:/agent:\1:$new_gid:/" /etc/group
  fi
  sed -i "s/^agent:\([^:]*\):[0-9]*:[0-9]*:/agent:\1:$sandbox_uid:$new_gid:/" /etc/passwd
  uid=$sandbox_uid gid=$new_gid
  [ -d "$home" ] && chown -R "$uid:$gid" "$home"
}

# Not every image has it.
make_home() {
  [ -d "$home" ] || { mkdir -p "$home" && chown "$uid:$gid" "$home"; }
}

# The sandbox's own authority among the trusted ones: at the end of every bundle, in place of that
# of a sandbox whose image this was made of; and where tools that rebuild bundles look.
trust() {
  [ -s "$here/ca.pem" ] || return 0
  mark=$(sed -n 2p "$here/ca.pem")
  for bundle in $bundles; do
    [ -f "$bundle" ] || continue
    grep -qF "$mark" "$bundle" && continue
    sed '/^# agentvm sandbox: begin$/,/^# agentvm sandbox: end$/d' "$bundle" >"$bundle.new"
    { echo '# agentvm sandbox: begin'; cat "$here/ca.pem"; echo '# agentvm sandbox: end'; } \
      >>"$bundle.new"
    cat "$bundle.new" >"$bundle"
    rm -f "$bundle.new"
  done
  for place in /usr/local/share/ca-certificates /etc/pki/ca-trust/source/anchors; do
    [ -d "$place" ] && cp "$here/ca.pem" "$place/agentvm-sandbox.crt"
  done
  [ -d /etc/ssl/certs ] && ln -sf "$here/ca.pem" "/etc/ssl/certs/$sandbox_ca_hash.0"
  # Java's own store, whose tool takes seconds: once.
  command -v keytool >/dev/null && [ "$(cat /var/lib/agentvm-java-ca 2>/dev/null)" != "$mark" ] &&
    keytool -importcert -noprompt -cacerts -storepass changeit -alias "sandbox-$sandbox_ca_hash" \
      -file "$here/ca.pem" >/dev/null 2>&1 && mkdir -p /var/lib && echo "$mark" >/var/lib/agentvm-java-ca
  return 0
}

# Tools with authorities of their own, told by their variables.
export_trust() {
  [ -s "$here/ca.pem" ] || return 0
  export NODE_EXTRA_CA_CERTS="$here/ca.pem" DENO_TLS_CA_STORE=system
  for bundle in $bundles; do
    [ -f "$bundle" ] || continue
    export SSL_CERT_FILE="$bundle" REQUESTS_CA_BUNDLE="$bundle" PIP_CERT="$bundle" \
      CURL_CA_BUNDLE="$bundle" GIT_SSL_CAINFO="$bundle" AWS_CA_BUNDLE="$bundle" \
      CARGO_HTTP_CAINFO="$bundle"
    break
  done
}

# Replaces this shell by the command, as the user.
become() {
  if [ "$user" = root ]; then exec "$@"; fi
  if setpriv --help 2>/dev/null | grep -q -e --init-groups; then
    exec setpriv --reuid "$uid" --regid "$gid" --init-groups -- "$@"
  fi
  for tool in gosu su-exec; do
    command -v "$tool" >/dev/null && exec "$tool" "$user" "$@"
  done
  if chroot --help 2>/dev/null | grep -q -e --skip-chdir; then
    exec chroot --userspec="$uid:$gid" --skip-chdir / "$@"
  fi
  # shellcheck disable=SC2016
  exec su -m -s /bin/sh "$user" -c 'exec "$@"' sh "$@"
}

# "~/x" is in the user's home.
resolve() {
  case $1 in
    [~]/*) path=$home/${1#??} ;;
    *) path=$1 ;;
  esac
}

# The directory of $path, made as whoever owns where it is.
make_parent() {
  parent=${path%/*}
  [ -d "$parent" ] && return 0
  case $path in
    "$home"/*) (become mkdir -p "$parent") ;;
    *) mkdir -p "$parent" ;;
  esac
}

# A file that the agent finds at its first start, and keeps as it changed it.
sandbox_file() {
  resolve "$1"
  [ -e "$path" ] && return 0
  make_parent
  printf '%s' "$2" >"$path" && chown "$uid:$gid" "$path"
}

# Where the agent looks for instructions.
sandbox_notice() {
  resolve "$1"
  [ -e "$path" ] || [ -L "$path" ] && return 0
  make_parent
  ln -s "$here/notice.md" "$path"
}

set_environment() {
  export HOME="$home" USER="$user" LOGNAME="$user"
  export_trust
  sandbox_environment
}

sandbox_become() {
  init=$(command -v tini || command -v dumb-init || true)
  case $init in
    */tini) become "$init" -s -- "$@" ;;
    */dumb-init) become "$init" -c -- "$@" ;;
    *) become "$@" ;;
  esac
}

mode=$1
shift
find_user
case $mode in
  main)
    map_user
    make_home
    trust
    sandbox_files
    set_environment
    if [ -z "$sandbox_directory" ]; then cd "$home" || exit 126; fi
    sandbox_command
    ;;
  exec)
    directory=$1
    asked=$2
    shift 2
    [ "$asked" = root ] && user=root uid=0 gid=0 home=/root
    set_environment
    if [ -n "$directory" ]; then cd "$directory" || exit 126
    elif [ -z "$sandbox_directory" ]; then cd "$home" || exit 126; fi
    become "$@"
    ;;
esac
