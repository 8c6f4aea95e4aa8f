#!/bin/sh
# Print a lock without its hashes, for `pip install --constraint`: pip checks hashes of everything
# or of nothing, and a package that is installed from a folder has none.
set -eu

echo "# The versions of $1 without its hashes, for pip install --constraint."
echo "# Made by: make lock"
sed -e '/^ *#/d' -e '/^ *--hash=/d' -e 's/ *\\$//' "$1"
