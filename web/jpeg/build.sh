#!/usr/bin/env bash
# Compiles libjpeg-turbo and decode.c to dist/jpeg.wasm. It needs Python, Debian's apt (for the source) and a network.
# The source and the compiler are pinned, so that the same file comes out everywhere.
set -euo pipefail
cd "$(dirname "$0")"
work="${1:-../build/jpeg}"
mkdir -p "$work"
work="$(cd "$work" && pwd)"
archive="$work/libjpeg-turbo_2.1.5.orig.tar.gz"
digest=254f3642b04e309fee775123133c6464181addc150499561020312ec61c1bf7c
if [ ! -f "$archive" ]; then
  mkdir -p "$work/lists/partial"
  echo "deb-src http://deb.debian.org/debian bookworm main" > "$work/sources.list"
  apt_options=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$work/lists")
  apt-get "${apt_options[@]}" -qq update
  (cd "$work" && apt-get "${apt_options[@]}" -qq --download-only source libjpeg-turbo=1:2.1.5-2)
fi
echo "$digest  $archive" | sha256sum --check --quiet
test -x "$work/venv/bin/python" || python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check ziglang==0.17.0
rm -rf "$work/source"
mkdir "$work/source"
tar -xzf "$archive" -C "$work/source" --strip-components 1
cp jconfig.h jconfigint.h "$work/source/"
sed "s/@COPYRIGHT_YEAR@/1991-2023/" "$work/source/jversion.h.in" > "$work/source/jversion.h"
sources=(jaricom jcomapi jdapimin jdapistd jdarith jdatasrc jdcoefct jdcolor jddctmgr jdhuff jdinput jdmainct jdmarker
  jdmaster jdmerge jdphuff jdpostct jdsample jerror jidctflt jidctfst jidctint jidctred jmemmgr jmemnobs jquant1 jquant2
  jsimd_none jutils)
cd "$work/source"
"$work/venv/bin/python" -m ziglang cc --target=wasm32-wasi -mexec-model=reactor -O3 -flto -DNDEBUG -w -I . \
  -Wl,--strip-all -Wl,--max-memory=1073741824 -o "$work/jpeg.wasm" \
  "$OLDPWD/decode.c" "${sources[@]/%/.c}"
mkdir -p "$OLDPWD/../dist"
cp "$work/jpeg.wasm" "$OLDPWD/../dist/jpeg.wasm"
