#!/bin/sh
# Name the known vulnerabilities of what the locks pin, with pip-audit in an environment of its own.
#
#   scripts/audit.sh .venv                          all locks
#   scripts/audit.sh .venv requirements-build.txt   this one
#
# Exit code: 0 without any, 1 with some, 2 if pip-audit or its data can't be reached.
set -eu

venv=$1
shift
[ $# -gt 0 ] || set -- requirements-extras.txt requirements-build.txt
own=build/audit

die() {
    echo "Error: $*" >&2
    exit 2
}

command -v "$venv/bin/python" >/dev/null 2>&1 ||
    die "$venv holds no Python; make it with 'make environment'."
if [ ! -x "$own/bin/pip-audit" ]; then
    mkdir -p build
    "$venv/bin/python" -m venv "$own" >"$own.log" 2>&1 &&
        "$own/bin/python" -m pip --disable-pip-version-check install --quiet --retries 1 pip-audit >>"$own.log" 2>&1 ||
        die "pip-audit can't be installed, so nothing was audited: $(tail -1 "$own.log")"
fi
audit() {
    # What is pinned with hashes needs no pip to find out what else would be installed.
    "$own/bin/pip-audit" --disable-pip --require-hashes --progress-spinner off --requirement "$1" \
        >"$own.out" 2>"$own.log"
}

# An index may answer without advisories, as mirrors do; then silence would mean nothing. This
# version has had some since 2014 (CVE-2014-1402). It is not installed, so its hash is none.
printf 'jinja2==2.4.1 --hash=sha256:%064d\n' 0 >"$own.txt"
if audit "$own.txt"; then
    die "the package index answers without advisories, not even those of Jinja2 2.4.1, so nothing was audited; run this where pypi.org itself is reached."
elif [ ! -s "$own.out" ]; then
    die "pip-audit can't reach its data, so nothing was audited: $(tail -1 "$own.log")"
fi
status=0
for lock in "$@"; do
    if audit "$lock"; then
        echo "$lock: no known vulnerabilities."
    elif [ -s "$own.out" ]; then
        echo "$lock:"
        cat "$own.out"
        status=1
    else
        die "pip-audit can't reach its data, so $lock was not audited: $(tail -1 "$own.log")"
    fi
done
exit $status
