# shellcheck shell=bash
# Sourced by the scripts beside it and by .ci/run: what a command needs, taken from Debian's packages when it is absent.
# Owns: the one way in which these scripts install system packages. Prints only to standard error, since callers print results.

apt_lists_are_fresh=no

# apt_install PACKAGE...: installs, or says what a person without the rights has to install.
apt_install() {
  local as_root=()
  if [[ $(id -u) -ne 0 ]]; then
    if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
      echo "missing: $*. Install with: apt-get install $*" >&2
      return 1
    fi
    as_root=(sudo -n)
  fi
  if ! command -v apt-get >/dev/null; then
    echo "missing: $* (names of Debian's packages), and this machine has no apt-get. Install them by hand." >&2
    return 1
  fi
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  if [[ $apt_lists_are_fresh == no ]]; then
    # A new machine's package lists are empty or old; installing from them asks for versions that are gone.
    "${apt[@]}" update </dev/null >&2
    apt_lists_are_fresh=yes
  fi
  echo "installing $*" >&2
  "${apt[@]}" install --no-install-recommends "$@" </dev/null >&2
}

# need COMMAND PACKAGE...: the packages are installed only where the command is not found.
need() {
  local command=$1
  shift
  command -v "$command" >/dev/null || apt_install "$@"
}
