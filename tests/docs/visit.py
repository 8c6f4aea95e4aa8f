"""Start a server as a page says, fetch the page at the address that it prints, and stop it."""

import os
import re
import subprocess
import sys
import urllib.request


def main(command):
    """Run the command until its page was fetched; exit code 1 when it never came."""
    server = subprocess.Popen(
        [*command, "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        for line in server.stdout:
            print(line, end="", flush=True)
            address = re.search(r"http://\S+", line)
            if address:
                with urllib.request.urlopen(address[0], timeout=60) as answer:
                    return 0 if b"<html" in answer.read().lower() else 1
        return 1
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
