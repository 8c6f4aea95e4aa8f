#!/bin/sh
# Take a Python that TensorFlow has wheels for into the checkout, with uv, and print its path.
#
#   scripts/take_python.sh 3.11
#
# For machines whose own Pythons are too old or too new, as that of Debian 11 is. uv is the
# one on the PATH, else it is installed from the package index into .uv by whatever Python there is.
# The Python goes into .python; `make clean` leaves both, since a download is slow. uv's own
# variables say where it is downloaded from (UV_PYTHON_INSTALL_MIRROR).
set -eu

version=$1
folder=$PWD/.python

# What would help on this machine, in a sentence.
advice() {
    if [ -n "${CONDA_EXE:-}" ] || command -v conda >/dev/null 2>&1; then
        echo "With conda: conda create --prefix ./.conda python=$version && make run PYTHON=\$PWD/.conda/bin/python."
        return
    fi
    if [ -n "${LMOD_CMD:-}${MODULESHOME:-}" ]; then
        echo "On this cluster look for a module: 'module avail python', then 'module load' one of $version and run make again."
        return
    fi
    if [ -n "${COLAB_RELEASE_TAG:-}" ]; then
        echo "On Colab: pip install uv, then run make again (docs/installation.md)."
        return
    fi
    if [ "$(uname -s)" = Darwin ]; then
        echo "On macOS: brew install python@$version."
        return
    fi
    ID='' VERSION_ID='' PRETTY_NAME=''
    # shellcheck disable=SC1090
    [ ! -r "${OS_RELEASE:=/etc/os-release}" ] || . "$OS_RELEASE"
    case "$ID:$VERSION_ID" in
    debian:12*) echo "On ${PRETTY_NAME:-Debian 12}: apt-get install python3.11 python3.11-venv." ;;
    debian:11*) echo "On ${PRETTY_NAME:-Debian 11}: apt-get install python3 python3-venv." ;;
    ubuntu:22.04) echo "On ${PRETTY_NAME:-Ubuntu 22.04}: apt-get install python3.10 python3.10-venv." ;;
    ubuntu:*) echo "${PRETTY_NAME:-Ubuntu} has no package of it; the archive ppa:deadsnakes/ppa has: add-apt-repository ppa:deadsnakes/ppa && apt-get install python$version python$version-venv." ;;
    fedora:*) echo "On ${PRETTY_NAME:-Fedora}: dnf install python$version." ;;
    *) echo "${PRETTY_NAME:-This system} has no package of it that we know; conda or pyenv can install one (pyenv install $version)." ;;
    esac
}

fail() {
    echo "Error: no Python $version could be taken ($1). $(advice) Or name one with PYTHON=." >&2
    exit 1
}

uv=$(command -v uv || true)
if [ -z "$uv" ] && [ -x .uv/bin/uv ]; then
    uv=$PWD/.uv/bin/uv
fi
if [ -z "$uv" ]; then
    any=
    for candidate in python3 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
            any=$candidate
            break
        fi
    done
    [ -n "$any" ] || fail "there is neither uv nor a Python to install it with"
    echo "No Python here fits; installing uv into .uv, which can take one." >&2
    # Debian parts venv from Python; pip alone can install into a folder, too.
    if "$any" -m venv .uv >/dev/null 2>&1; then
        .uv/bin/python -m pip --disable-pip-version-check install --quiet uv >&2 ||
            fail "uv could not be installed; pip's message stands above"
    else
        rm -rf .uv
        "$any" -m pip --disable-pip-version-check install --quiet --prefix "$PWD/.uv" \
            --ignore-installed uv >&2 ||
            fail "uv could not be installed: $any has neither venv nor a working pip"
    fi
    uv=$PWD/.uv/bin/uv
    [ -x "$uv" ] || uv=$PWD/.uv/local/bin/uv
    [ -x "$uv" ] || fail "uv was installed into .uv, but its command is not there"
fi

found() {
    for python in "$folder"/cpython-"$version".*/bin/python3; do
        [ ! -x "$python" ] || echo "$python"
    done | head -1
}

if [ -z "$(found)" ]; then
    echo "Taking Python $version into .python with $("$uv" --version 2>/dev/null || echo uv), since none here fits." >&2
    UV_PYTHON_INSTALL_DIR=$folder UV_PYTHON_INSTALL_BIN=0 \
        "$uv" --no-config python install "$version" >&2 ||
        fail "uv's message stands above"
fi
python=$(found)
[ -n "$python" ] || fail "uv ended without an error, but left none in .python"
echo "$python"
