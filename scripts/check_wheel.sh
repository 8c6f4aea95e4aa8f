#!/bin/sh
# Build sdist and wheel, install the wheel into an empty environment outside the checkout, use it.
#
#   scripts/check_wheel.sh .venv
set -eu

venv=$PWD/$1
lock=$PWD/requirements.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

# The wheel is built from the sdist, so this also finds what the sdist lacks.
"$venv/bin/python" -m build --no-isolation --outdir "$work/dist" . >"$work/build.log" 2>&1 || {
    cat "$work/build.log" >&2
    exit 1
}
echo "Built $(cd "$work/dist" && echo *)."

"$venv/bin/python" -m venv "$work/clean"
# The lock as constraint: the ranges of the wheel decide what comes, the lock in which version.
"$work/clean/bin/python" -m pip --disable-pip-version-check install --quiet \
    --constraint "$lock" "$work"/dist/*.whl
cd "$work"
./clean/bin/python -W error -c 'import reproducible_ml; print("Installed", reproducible_ml.__version__)'
./clean/bin/reproducible-ml --help >help.txt
grep -q verify help.txt
./clean/bin/python -m pip --disable-pip-version-check check
# The templates came along: a new project writes its data, and a report tells of it.
./clean/bin/reproducible-ml new tried_project
cd tried_project
../clean/bin/python -m experiments.serialize >serialize.txt 2>&1 || {
    cat serialize.txt >&2
    exit 1
}
../clean/bin/reproducible-ml report 1
