#!/bin/sh
# Makes .venv and installs Penstock with everything its tests need into it. `make install` calls it.
#
# Takes the newest Python from 3.11 on that can make virtual environments. Where there is none and
# this is Debian or Ubuntu as root, installs python3 and python3-venv; anywhere else it says what
# is missing. PYTHON=/path/to/python3 chooses one by hand.
set -eu
cd "$(dirname "$0")/.."

usable() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for candidate in ${PYTHON:-python3.14 python3.13 python3.12 python3.11 python3}; do
        if command -v "$candidate" >/dev/null 2>&1 && usable "$candidate"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

missing() {
    echo "Penstock needs Python 3.11 or newer with its venv module, and none was found." >&2
    if [ -n "${PYTHON:-}" ]; then
        echo "PYTHON=$PYTHON was given and is not usable." >&2
    elif command -v apt-get >/dev/null 2>&1; then
        echo "On Debian 12, Ubuntu 24.04 or later:  sudo apt-get install python3 python3-venv" >&2
    elif [ "$(uname -s)" = Darwin ]; then
        echo "With Homebrew:  brew install python@3.13   (or the installer from python.org)" >&2
    fi
    echo "Another Python can be named:  make install PYTHON=/path/to/python3" >&2
    exit 1
}

install_python() {
    echo "Installing python3 and python3-venv"
    # By its option apt-get waits for dpkg's lock, but never for that of the package lists, which a
    # machine that has just started often brings up to date by itself.
    apt="apt-get -q -o DPkg::Lock::Timeout=300"
    waited=0
    until said=$(LC_ALL=C $apt update 2>&1); do
        case $said in
            *"Could not get lock"*) [ $waited -lt 300 ] || break ;;
            *) break ;;
        esac
        sleep 5
        waited=$((waited + 5))
    done
    # Whatever became of that: the lists that are there already may do.
    echo "$said"
    DEBIAN_FRONTEND=noninteractive $apt install -y python3 python3-venv
}

if [ ! -x .venv/bin/python ] || ! usable .venv/bin/python; then
    if ! python=$(find_python); then
        if [ -z "${PYTHON:-}" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
            install_python || missing
        fi
        python=$(find_python) || missing
    fi
    echo "Making .venv with $("$python" --version) ($python)"
    "$python" -m venv --clear .venv
fi

pip="env PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip install --quiet"
echo "Installing the pinned packages into .venv"
$pip --require-hashes -r requirements-dev.txt
# hatchling came with the line above, so the build fetches nothing that is not pinned.
$pip --no-deps --no-build-isolation -e .
echo "Ready: .venv/bin/penstock"
