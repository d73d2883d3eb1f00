#!/usr/bin/env bash
# Installs the notebooks on Linux or macOS from this folder alone. No internet is used.
#   bash install.sh            into the folder zcdl_workshop of your home folder
#   bash install.sh FOLDER     elsewhere
set -eu
here="$(cd "$(dirname "$0")" && pwd)"
system=linux
[ "$(uname -s)" = Darwin ] && system=macos

# Take a Python for which this bundle has packages.
for version in 3.13 3.12 3.11; do
  [ -f "$here/wheels/$system/requirements-$version.txt" ] || continue
  for python in "python$version" python3 python; do
    if "$python" -c "import sys, venv, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
      # install.py checks the bundle, then calls: pip install --no-index --find-links wheels/$system
      exec "$python" "$here/install.py" "$@"
    fi
  done
done
echo "No Python was found on this computer that this bundle serves. It serves on $system:"
ls "$here/wheels/$system" 2>/dev/null | sed -n 's/requirements-\(.*\)\.txt/  Python \1/p'
echo "START_HERE.txt says where Python comes from (Debian and Ubuntu also need the package python3-venv)."
exit 1
