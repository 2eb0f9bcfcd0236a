#!/bin/sh
# Finds or brings what the Makefile needs, and says plainly what is missing.
#   toolchain.sh python   prints an interpreter >= 3.12
#   toolchain.sh uv       prints a uv; installs one into .tools/ when there is none
set -eu

good() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; }

# On PATH first, then in the folders of interpreter managers (their shims on PATH mislead).
candidates() {
    for name in python3.13 python3.12 python3.14 python3 python; do
        IFS=:
        for folder in $PATH; do
            case "$folder" in */shims) continue ;; esac
            if [ -x "$folder/$name" ]; then echo "$folder/$name"; fi
        done
        unset IFS
    done
    for root in "${PYENV_ROOT:-$HOME/.pyenv}/versions" "${ASDF_DATA_DIR:-$HOME/.asdf}/installs/python" \
        "${MISE_DATA_DIR:-$HOME/.local/share/mise}/installs/python" \
        "${XDG_DATA_HOME:-$HOME/.local/share}/uv/python"; do
        for version in 3.13 3.12 3.14; do
            ls -d "$root"/*"$version"*/bin/python3 2>/dev/null || true
        done
    done
}

find_python() {
    candidates | while read -r one; do
        if good "$one"; then
            "$one" -c 'import sys; print(sys.executable)'
            break
        fi
    done
}

find_uv() {
    if command -v uv 2>/dev/null; then return; fi
    if [ ! -x .tools/bin/uv ]; then
        found=$(find_python)
        found=${found:-$(candidates | { read -r one && echo "$one" || true; })} # an older one can fetch uv, and uv the rest
        if [ -z "$found" ]; then
            echo "error: neither uv nor Python 3.12 or newer was found. Install one of them." >&2
            exit 1
        fi
        rm -rf .tools .tools.new
        "$found" -m venv .tools.new >&2 || {
            echo "error: $found cannot make a virtual environment. Install uv, or Python >= 3.12." >&2
            exit 1
        }
        .tools.new/bin/python -m pip install --quiet --disable-pip-version-check "uv==0.13.9" >&2
        rm -rf .tools.new/bin/__pycache__
        mkdir -p .tools/bin
        cp .tools.new/bin/uv .tools/bin/uv
        rm -rf .tools.new
    fi
    echo "$PWD/.tools/bin/uv"
}

case "${1:-}" in
    python)
        found=$(find_python)
        if [ -z "$found" ]; then
            uv=$(find_uv)
            echo "no Python >= 3.12 found: uv installs one" >&2
            "$uv" python install 3.13 >&2
            found=$("$uv" python find 3.13)
        fi
        echo "$found"
        ;;
    uv) find_uv ;;
    *) echo "usage: toolchain.sh python|uv" >&2; exit 2 ;;
esac
