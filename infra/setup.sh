#!/bin/sh
# Finds a Python that runs (some version managers leave shims that only print an error) and lets it build .venv.
# Later runs use the Python in .venv without searching.
cd "$(dirname "$0")/.." || exit 1

works() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

if works .venv/bin/python; then
    exec .venv/bin/python -I -c 'import sys; sys.path.insert(0, "."); from infra.setup.main import main; main()' "$@"
fi
for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14 \
    /usr/bin/python3 /usr/local/bin/python3 /opt/homebrew/bin/python3 python; do
    if works "$candidate"; then
        exec "$candidate" -I -c 'import sys; sys.path.insert(0, "."); from infra.setup.main import main; main()' "$@"
    fi
done
echo "sluice: no Python 3.11 or newer was found on this machine." >&2
echo "        Install one (Debian, Ubuntu: apt-get install python3 python3-venv; macOS: brew install python)," >&2
echo "        or name it: make up PYTHON=/path/to/python3" >&2
exit 1
