#!/bin/sh
# Make FOLDER/micropython, the real interpreter, and FOLDER/lib/umqtt: micropython.sh FOLDER PYTHON
# Debian has the interpreter from version 13 on. On an older one its package is unpacked into FOLDER
# with the libraries that it needs, beside the system and not into it.
set -eu
folder=$1 python=$2
mkdir -p "$folder/lib"
cd "$folder"

unpack() {
  multiarch=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || echo "$(uname -m)-linux-gnu")
  mkdir -p apt/lists/partial apt/cache/archives/partial root
  # From where this machine has its other packages.
  mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep '/debian/$' | head -n 1)
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" \
    >apt/sources.list
  set -- -qq -o "Dir::Etc::sourcelist=$PWD/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o "Dir::State::lists=$PWD/apt/lists" -o "Dir::Cache=$PWD/apt/cache" \
    -o Dir::State::status=/dev/null -o APT::Install-Recommends=false -o APT::Sandbox::User=root
  apt-get "$@" update
  apt-get "$@" -y --download-only install micropython
  for package in apt/cache/archives/*.deb; do dpkg-deb -x "$package" root; done
  rm -rf apt
  libraries="$PWD/root/usr/lib/$multiarch"
  loader=$(echo "$libraries"/ld-linux*)
  printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' \
    "$loader" "$libraries" "$PWD/root/usr/bin/micropython" >micropython
}

if [ ! -x micropython ]; then
  if command -v micropython >/dev/null; then
    ln -sf "$(command -v micropython)" micropython
  else
    unpack
  fi
fi
chmod +x micropython
[ "$(./micropython -c 'print(6 * 7)')" = 42 ]
if [ ! -e lib/umqtt/simple.py ]; then
  # This package is for MicroPython's own installer, so pip fetches and unpacks it but cannot go on.
  mkdir -p fetched
  TMPDIR="$PWD/fetched" "$python" -m pip download --quiet --disable-pip-version-check --no-clean \
    --no-deps --no-build-isolation --dest fetched micropython-umqtt.simple==1.3.4 2>/dev/null || true
  mkdir -p lib/umqtt
  find fetched -path '*/umqtt/simple.py' -exec cp {} lib/umqtt/ ';'
  rm -rf fetched
fi
[ -e lib/umqtt/simple.py ]
