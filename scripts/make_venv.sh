#!/bin/sh
# Make the virtual environment hold exactly what a lock names, and this project in editable form.
# Each file from the index must have one of the lock's hashes; the project itself comes from the
# checkout, and pip asks no index for it.
#
#   scripts/make_venv.sh .venv requirements.txt
#   scripts/make_venv.sh .venv requirements-extras.txt
#
# Protocol: `installing` (holding our process id) is written before the first package and removed
# after the last; then `installed` states which lock was installed, from what text. A second start
# that finds its own statement does nothing. One that finds `installing` of a dead process throws
# the environment away: a package that was being unpacked can look complete and not be.
set -eu

venv=$1
lock=$2
wanted="Python 3.10 to 3.13"

die() {
    echo "Error: $*" >&2
    exit 1
}

# 0 when this command starts a Python that setup.py names a TensorFlow for.
fits() {
    "$@" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

has_venv() {
    "$@" -c 'import venv, ensurepip' 2>/dev/null
}

# Print the first Python that fits; take one into the checkout where there is none. A name on the PATH may be a shim that fails, so each is run.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || die "PYTHON=$PYTHON is no $wanted, for which there is a TensorFlow; name one that is."
        has_venv "$PYTHON" || die "PYTHON=$PYTHON has no venv module; install it (Debian and Ubuntu: python3-venv)."
        echo "$PYTHON"
        return
    fi
    without_venv=
    # Newlines alone part the names: a folder may have spaces.
    IFS='
'
    for candidate in $(sh "${0%/*}/find_pythons.sh"); do
        if has_venv "$candidate"; then
            echo "$candidate"
            return
        fi
        without_venv=$candidate
    done
    unset IFS
    [ -z "$without_venv" ] ||
        die "$without_venv has no venv module; install it (Debian and Ubuntu: apt-get install $without_venv-venv)."
    # It says itself what it does, and what went wrong.
    sh "${0%/*}/take_python.sh" 3.11 || exit 1
}

# What decides the environment's content: the lock's name, the text of all that is installed, the
# Python, and where the checkout lies, which every installed command has in its first line.
statement() {
    text=$(cat requirements.txt requirements-extras.txt requirements-build.txt setup.py | cksum | tr ' ' '-')
    echo "$lock $text $("$venv/bin/python" -V 2>&1) in $PWD"
}

# The extras' lock holds all of the other one, so it serves for both.
is_installed() {
    [ -f "$venv/installed" ] && fits "$venv/bin/python" || return 1
    now=$(statement)
    said=$(cat "$venv/installed")
    [ "$said" = "$now" ] || [ "$said" = "requirements-extras.txt ${now#* }" ]
}

if [ -f "$venv/installing" ]; then
    owner=$(cat "$venv/installing")
    if [ -n "$owner" ] && kill -0 "$owner" 2>/dev/null; then
        die "process $owner is installing into $venv; wait until it has ended."
    fi
    echo "The installation into $venv was interrupted; starting it afresh."
    rm -rf "$venv"
fi

is_installed && exit 0

if [ -f "$venv/installed" ] && ! grep -qF " in $PWD" "$venv/installed"; then
    echo "This checkout was moved or copied; making $venv afresh."
    rm -rf "$venv"
fi

if [ -e "$venv/bin/python" ] && ! fits "$venv/bin/python"; then
    die "$venv holds no working $wanted; remove it with 'make clean' and start again."
fi
if [ ! -e "$venv/bin/python" ]; then
    python=$(find_python) || exit 1
    echo "Creating $venv with $("$python" -V 2>&1)."
    mkdir -p "$venv"
    echo $$ >"$venv/installing"
    "$python" -m venv "$venv" || die "$python could not create $venv; its message stands above."
fi

echo $$ >"$venv/installing"
rm -f "$venv/installed"
pip="$venv/bin/python -m pip --disable-pip-version-check"
echo "Installing $lock into $venv: about 500 MB for TensorFlow alone, so a few minutes the first time."
{
    # Older pips know neither today's wheels nor editable installs from pyproject.toml.
    $pip install --quiet --require-hashes --requirement requirements-build.txt &&
        # With the environment's own setuptools: Sacred and some sources of the extras need it.
        $pip install --quiet --require-hashes --no-build-isolation --requirement "$lock" &&
        # Last, so that the command `sacredboard` is this project's and not the package's.
        $pip install --quiet --no-index --no-build-isolation --no-deps --editable . &&
        $pip check --quiet
} || die "the installation failed; mend what stands above and run the same command again."
statement >"$venv/installed"
rm -f "$venv/installing"
