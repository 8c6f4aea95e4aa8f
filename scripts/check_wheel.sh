#!/bin/sh
# Build sdist and wheel, install the wheel into empty environments outside the checkout, use it.
#
#   scripts/check_wheel.sh .venv                    with the Python of .venv
#   scripts/check_wheel.sh .venv 3.10 3.11 3.12     and with these versions, if the machine has them
set -eu

root=$PWD
venv=$root/$1
shift
# The versions of requirements-extras.txt, which holds what a notebook needs too. Without hashes,
# which the wheel built here has none of.
lock=$root/constraints.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

# Run a command whose output matters only when it fails.
quietly() {
    "$@" >"$work/log.txt" 2>&1 || {
        cat "$work/log.txt" >&2
        exit 1
    }
}

# Fail when a file holds what it should not.
holds_no() {
    ! grep -n "$1" "$2" >&2 || {
        echo "Error: $2 holds the above, expected no $1." >&2
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
    # A link into the checkout leads nowhere on a package index.
    holds_no '](docs/' "$work"/whl/reproducible_ml-*.dist-info/METADATA
    # What the Makefile and the tests need comes with the sources.
    tar -tzf "$work"/dist/*.tar.gz | sed 's|^[^/]*/||' | sort >"$work/sources.txt"
    git -C "$root" ls-files 2>/dev/null | sort >"$work/tracked.txt"
    lacking=$(comm -23 "$work/tracked.txt" "$work/sources.txt" | grep -v '^\.gitignore$' || true)
    [ -z "$lacking" ] || {
        echo "Error: the sdist lacks what git has; name it in MANIFEST.in: $lacking" >&2
        exit 1
    }
}

# Install the wheel into an empty environment of this Python and use what came along.
check_wheel() {
    rm -rf "$work/clean" "$work/new"
    "$1" -m venv "$work/clean"
    cd "$work"
    pip="./clean/bin/python -m pip --disable-pip-version-check"
    # pip 21.2, which Python 3.10 may bring, cannot read today's wheels of every package.
    quietly $pip install --upgrade "pip>=23"
    # The lock as constraint: the ranges of the wheel decide what comes, the lock in which version.
    # Python compiles what it imports, which is less than all that comes.
    quietly $pip install --no-compile --constraint "$lock" dist/*.whl
    $pip check
    ./clean/bin/python -W error -c 'import reproducible_ml'
    ./clean/bin/reproducible-ml --help | grep -q verify
    echo "Installed: $(./clean/bin/python -V), $(./clean/bin/reproducible-ml --version)."
    # The templates came along: a new project trains, proves it, and a report tells of it.
    mkdir new
    cd new
    quietly ../clean/bin/reproducible-ml new tried_project
    cd "$work"
    # So did the README's experiments, to the letter.
    quietly ./clean/bin/reproducible-ml new --mnist new/mnist
    diff -r --exclude=__pycache__ "$root/experiments" new/mnist/experiments
    # A run repeats on the TensorFlow that it was recorded on: each series has a project of its own.
    series=$(./clean/bin/python -c 'import importlib.metadata as m; print(m.version("tensorflow")[:4])')
    if [ ! -d untouched ]; then
        cp -R new/tried_project untouched
    else
        # Every further Python writes the same project.
        diff -r untouched new/tried_project
    fi
    if [ ! -d "$series" ]; then
        cp -R untouched "$series"
        cd "$series"
        quietly ../clean/bin/python -m experiments.train with smoke
    fi
    # Once, since the checkout's tests are of the same files.
    if [ ! -d "$work/digits" ]; then
        cp -R "$work/new/mnist" "$work/digits"
        cd "$work/digits"
        quietly ../clean/bin/python -m experiments.mnist_wgan with smoke
        quietly ../clean/bin/reproducible-ml reproduce 1
        tail -1 "$work/log.txt"
    fi
    # Further Pythons of a series execute the first one's run again.
    cd "$work/$series"
    quietly ../clean/bin/reproducible-ml reproduce 1
    tail -1 "$work/log.txt"
    ../clean/bin/reproducible-ml report 1
    cd "$work"
}

# Execute the first notebook where nothing but the wheel and its notebook extra is installed.
check_notebook() {
    for wheel in dist/*.whl; do
        quietly $pip install --no-compile --constraint "$lock" "$wheel[notebook]" nbclient
    done
    mkdir notebooks
    cp "$root/notebooks/first-steps.ipynb" notebooks
    cd notebooks
    IPYTHONDIR=$work/ipython quietly ../clean/bin/jupyter execute --timeout=300 first-steps.ipynb
    cd "$work"
    echo "Executed notebooks/first-steps.ipynb there."
}

# The wheel is built from the sdist, so this also finds what the sdist lacks.
quietly "$venv/bin/python" -m build --no-isolation --outdir "$work/dist" .
holds_no 'would be ignored' "$work/log.txt"
echo "Built $(cd "$work/dist" && echo *)."
check_sdist
check_wheel "$venv/bin/python"
check_notebook
# Exact resume where the environment of the tests is not: kill a training, and compare its digest.
check_resume() {
    cd "$root"
    quietly "$work/clean/bin/python" -m benchmarks.kill_and_resume --steps 20 --rounds 1 \
        --critic-steps 1
    tail -1 "$work/log.txt"
    cd "$work"
}

own=$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
for version in "$@"; do
    [ "$version" != "$own" ] || continue
    python=$(sh "$root/scripts/find_pythons.sh" "$version" | head -1)
    if [ -n "$python" ]; then
        check_wheel "$python"
        [ "$series" = 2.15 ] || check_resume
    else
        echo "Not tried: Python $version (not on this machine)."
    fi
done
