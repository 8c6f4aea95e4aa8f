#!/bin/sh
# Build sdist and wheel, install the wheel into an empty environment outside the checkout, use it.
#
#   scripts/check_wheel.sh .venv                         with the Python of .venv
#   scripts/check_wheel.sh .venv python3.9 python3.10    and with these, as found on the PATH
set -eu

venv=$PWD/$1
shift
lock=$PWD/requirements.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

# Run a command whose output matters only when it fails.
quietly() {
    "$@" >"$work/log.txt" 2>&1 || {
        cat "$work/log.txt" >&2
        exit 1
    }
}

# What an sdist and a wheel install must be the same files: one could lack what the other has.
check_sdist() {
    for kind in tar.gz whl; do
        quietly "$venv/bin/python" -m pip --disable-pip-version-check install --no-deps \
            --no-build-isolation --no-compile --target "$work/$kind" "$work"/dist/*."$kind"
    done
    diff -r --exclude='*.dist-info' --exclude=bin "$work/tar.gz" "$work/whl"
    test -f "$work/whl/reproducible_ml/py.typed"
}

# Install the wheel into an empty environment of this Python and use what came along.
check_wheel() {
    rm -rf "$work/clean" "$work/tried_project"
    "$1" -m venv "$work/clean"
    cd "$work"
    pip="./clean/bin/python -m pip --disable-pip-version-check"
    # pip 21.2, which Python 3.9 and 3.10 bring, cannot read today's wheels of every package.
    quietly $pip install --upgrade "pip>=23"
    # The lock as constraint: the ranges of the wheel decide what comes, the lock in which version.
    quietly $pip install --constraint "$lock" dist/*.whl
    $pip check
    ./clean/bin/python -W error -c 'import reproducible_ml'
    ./clean/bin/reproducible-ml --help | grep -q verify
    echo "Installed: $(./clean/bin/python -V), $(./clean/bin/reproducible-ml --version)."
    # The templates came along: a new project writes its data, and a report tells of it.
    quietly ./clean/bin/reproducible-ml new tried_project
    cd tried_project
    quietly ../clean/bin/python -m experiments.serialize
    ../clean/bin/reproducible-ml report 1
    cd "$work"
}

# The wheel is built from the sdist, so this also finds what the sdist lacks.
quietly "$venv/bin/python" -m build --no-isolation --outdir "$work/dist" .
echo "Built $(cd "$work/dist" && echo *)."
check_sdist
for python in "$venv/bin/python" "$@"; do
    check_wheel "$python"
done
