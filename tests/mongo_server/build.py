"""Build the test server: FerretDB with some of its refusals taken out.

Real MongoDB takes NaN, infinite numbers, -0.0 and arrays inside arrays (Sacred's own ``sources``
and ``resources`` are such); FerretDB 1.24.2 refuses or changes them and hangs up on NaN. The edits
below are made in a copy of the module at build time, so that what the tests send is what a MongoDB
gets.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULE = "github.com/FerretDB/FerretDB"
BUILD_SECONDS = 900

NAN_WRITTEN = """	f := float64(*d)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte(strconv.Quote(strconv.FormatFloat(f, 'g', -1, 64))), nil
	}
"""
NAN_READ = """	if data[0] == '"' {
		f, err := strconv.ParseFloat(string(bytes.Trim(data, `"`)), 64)
		*d = doubleType(f)
		return err
	}

	r := bytes.NewReader(data)
"""
IMPORTS = """	"encoding/json"
	"math"
	"strconv"
"""
DOUBLE = "internal/handler/sjson/double.go"
VALIDATION = "internal/types/document_validation.go"

# (file of the module, text that stands there exactly once, text instead)
EDITS = (
    (DOUBLE, "	f := float64(*d)\n", NAN_WRITTEN),
    (DOUBLE, "	r := bytes.NewReader(data)\n", NAN_READ),
    (DOUBLE, '	"encoding/json"\n', IMPORTS),
    (VALIDATION, "				case *Array:\n", "				case error:\n"),
    (VALIDATION, "math.IsInf(value, 0)", "false"),
    (VALIDATION, "item == 0 && math.Signbit(item)", "false"),
    (VALIDATION, "value == 0 && math.Signbit(value)", "false"),
)


def build():
    """Return the path of the server's binary, building it when the cache has none.

    Raises:
        RuntimeError: there is no Go, or the build failed; the message says which.
    """
    sources = [HERE / "main.go", HERE / "go.mod", HERE / "go.sum", Path(__file__)]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reproducible-ml"
    binary = cache / f"mongo_server-{digest}"
    if binary.exists():
        return binary
    if shutil.which("go") is None:
        raise RuntimeError("no Go on the PATH to build tests/mongo_server (FerretDB) with")
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        cache = Path(tempfile.mkdtemp(prefix="reproducible-ml-"))
        binary = cache / binary.name
    # One build for all processes that test at the same time; a killed one lets go of its lock.
    with open(binary.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            _build(binary)
    return binary


def _build(binary):
    """Build the server; the file appears when it is whole."""
    with tempfile.TemporaryDirectory(dir=binary.parent) as work:
        modfile = _edit_module(Path(work))
        built = Path(work) / binary.name
        _go("build", "-trimpath", f"-modfile={modfile}", "-o", str(built), ".")
        built.replace(binary)


def _edit_module(work):
    """Copy the module into ``work``, edit it, and return a go.mod that uses the copy."""
    _go("mod", "download", MODULE)
    copy = work / "module"
    shutil.copytree(_go("list", "-m", "-f", "{{.Dir}}", MODULE).strip(), copy)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755)  # the module cache is read-only
    for name, old, new in EDITS:
        path = copy / name
        text = path.read_text()
        if text.count(old) != 1:
            raise RuntimeError(f"{MODULE}/{name} does not hold {old!r} exactly once; mend EDITS")
        path.write_text(text.replace(old, new))
    shutil.copy(HERE / "go.sum", work / "go.sum")
    modfile = work / "go.mod"
    modfile.write_text((HERE / "go.mod").read_text() + f"\nreplace {MODULE} => {copy}\n")
    return modfile


def _go(*arguments):
    environment = {**os.environ, "GOFLAGS": "-mod=readonly -buildvcs=false", "CGO_ENABLED": "0"}
    try:
        done = subprocess.run(
            ["go", *arguments],
            check=False,
            cwd=HERE,
            env=environment,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"go {arguments[0]} failed: {error}") from error
    if done.returncode:
        raise RuntimeError(f"go {arguments[0]} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    print(build())
