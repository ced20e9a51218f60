# shellcheck shell=bash
# Sourced by the scripts beside it, after apt.sh: Python environments in the cache, each made once.

# make_python FOLDER REQUIREMENTS IMPORTS: sets `environment` and `python`. The environment is named after FOLDER and the
# requirements, so that a changed list is installed anew, and marked when it is complete: it cannot be moved into place afterwards,
# because its scripts name their own path. The caller holds a lock against another that makes the same.
make_python() {
  local folder=$1 requirements=$2 imports=$3
  environment=$folder-$(sha256sum "$requirements" | cut -c 1-8)
  python=$environment/bin/python
  # The second test notices an environment whose interpreter was since upgraded or removed under it.
  if [[ -e $environment/complete ]] && "$python" -c "import $imports" 2>/dev/null; then
    return
  fi
  need python3 python3 python3-venv
  rm -rf "$environment"
  echo "making the Python environment $environment" >&2
  # Debian ships the module venv without the part that it needs, until python3-venv is there.
  if ! python3 -m venv "$environment" >/dev/null 2>&1; then
    apt_install python3-venv
    python3 -m venv --clear "$environment" >&2
  fi
  "$python" -m pip install --quiet --disable-pip-version-check --no-input --retries 5 --requirement "$requirements" </dev/null >&2
  : >"$environment/complete"
}
