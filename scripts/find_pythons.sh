#!/bin/sh
# Print the Pythons of this machine that the project runs on, one a line, best first: those with
# TensorFlow 2.15 before those with 2.19 (3.12) and 2.21 (3.13), the default line at the head.
#
#   scripts/find_pythons.sh             all of them
#   scripts/find_pythons.sh 3.10 3.12   of these versions
#
# They are looked for on the PATH, among pyenv's versions and in .python, where take_python.sh puts
# one. A name on the PATH may be a shim that
# fails, so each is run.
set -eu

# 0 when this command starts a Python of this version.
is_python() {
    "$2" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])' "$1" 2>/dev/null
}

[ $# -gt 0 ] || set -- 3.11 3.10 3.12 3.13
for version in "$@"; do
    for candidate in "python$version" python3 python \
        "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/"$version".*/bin/python \
        "$PWD"/.python/cpython-"$version".*/bin/python3; do
        ! is_python "$version" "$candidate" || echo "$candidate"
    done
done
