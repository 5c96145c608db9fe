# Debian packages, unpacked in a cache folder instead of installed. For sourcing:
#
#   cache=FOLDER refresh=yes|no; source lib/debian.bash
#
# The mirror is the one the system's own apt sources name, or DEBIAN_MIRROR. The system's package lists and sources are
# not touched; no privileges are needed.
# shellcheck shell=bash

: "${cache:?}" "${refresh:=no}"

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

[[ $(uname -sm) == "Linux x86_64" ]] || die "needs Linux on x86-64"
command -v apt-get dpkg >/dev/null || die "needs Debian's apt-get and dpkg"

# The mirror of the system's own release: the source whose suite is this release and whose component is main.
debian_mirror() {
  local codename
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-sid}")
  # shellcheck disable=SC2016 # the dollars are apt's
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk -v codename="$codename" '
      $3 == "main" && ($2 == codename || $2 ~ /^(oldstable|stable|testing|unstable|sid)$/) && !mirror { mirror = $1 }
      END { print mirror }'
}

mirror=${DEBIAN_MIRROR:-$(debian_mirror)}
[[ -n $mirror ]] || die "found no Debian mirror in the system's apt sources; name one with DEBIAN_MIRROR=URL"

# Runs an apt command on package lists of its own, as if nothing was installed: apt_in FOLDER get|cache ARGUMENT...
apt_in() {
  local folder=$cache/$1 tool=$2
  shift 2
  local options=(-o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=-
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
    -o Dir::State::lists="$folder/lists" -o Dir::State::status=/dev/null -o Dir::Cache::archives="$folder" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
    -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none)
  "apt-$tool" "${options[@]}" "$@"
}

# package_lists FOLDER SUITE...: reads them once. A suite that has gone from the mirror is told and passed over.
package_lists() {
  local folder=$cache/$1 suite
  shift
  [[ $refresh == yes || ! -e $folder/complete ]] || return 0
  mkdir -p "$folder/lists/partial"
  for suite; do
    echo "deb [target=Packages signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
  done >"$folder/sources.list"
  say "reading the package lists of $*"
  apt_in "${folder##*/}" get update -qq >&2 || say "some of these suites could not be read (above)"
  : >"$folder/complete"
}

# unpack FOLDER INTO PACKAGE[=VERSION]...
unpack() {
  local folder=$1 into=$2 downloads package
  shift 2
  downloads=$(mktemp -d "$cache/download.XXXXXX")
  if ! (cd "$downloads" && apt_in "$folder" get download -qq "$@") >&2; then
    rm -rf "$downloads"
    die "cannot download $* (if the mirror has moved on, try --refresh)"
  fi
  mkdir -p "$into"
  for package in "$downloads"/*.deb; do dpkg -x "$package" "$into"; done
  rm -rf "$downloads"
}
