#!/bin/sh
# Print the Pythons of this machine that TensorFlow 2.15 has wheels for, one a line, best first.
#
#   scripts/find_pythons.sh             all of them
#   scripts/find_pythons.sh 3.9 3.10    of these versions
#
# They are looked for on the PATH, among pyenv's versions and in .python, where take_python.sh puts
# one. A name on the PATH may be a shim that
# fails, so each is run.
set -eu

# 0 when this command starts a Python of this version.
is_python() {
    "$2" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])' "$1" 2>/dev/null
}

[ $# -gt 0 ] || set -- 3.11 3.10 3.9
for version in "$@"; do
    for candidate in "python$version" python3 python \
        "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/"$version".*/bin/python \
        "$PWD"/.python/cpython-"$version".*/bin/python3; do
        ! is_python "$version" "$candidate" || echo "$candidate"
    done
done
