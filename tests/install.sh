#!/usr/bin/env bash
# Installs what the tests of the real SDKs and of real processes need, as `make test` does first:
# Debian's jq, script, strace, nginx and wrk, and under target/test-tools a Python environment, npm packages and
# engines at the versions that tests/ and examples/ pin. Done before, it only looks. It fails loudly, never skips.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
pins="$root/tests/sdk"
tools="$root/target/test-tools"

fail() {
  printf 'tests/install.sh: %s\n' "$*" >&2
  exit 1
}

say() {
  printf 'tests/install.sh: %s\n' "$*" >&2
}

# Names the Debian packages whose program is not there. Servers stand outside a user's path.
missing_packages() {
  local pair path="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
  for pair in jq:jq script:bsdutils strace:strace nginx:nginx-light wrk:wrk; do
    PATH="$path" command -v "${pair%%:*}" >/dev/null || printf '%s\n' "${pair##*:}"
  done
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]})) || return 0
  if ((EUID)) || ! command -v apt-get >/dev/null; then
    fail "missing programs; install these Debian packages as root: ${missing[*]}"
  fi
  say "installing the Debian packages ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2 || fail "apt-get update failed"
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
    fail "apt-get could not install: ${missing[*]}"
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]} == 0)) || fail "still missing after the installation: ${missing[*]}"
}

require_python() {
  command -v python3 >/dev/null || fail "no python3; install the Debian package python3 (3.9 or newer)"
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' ||
    fail "python3 is $(python3 --version), which is older than 3.9"
  python3 -c 'import venv, ensurepip' 2>/dev/null ||
    fail "python3 has no venv or no ensurepip; install the Debian package python3-venv"
}

require_node() {
  command -v node >/dev/null || fail "no node; install Node.js 20 or newer"
  command -v npm >/dev/null || fail "no npm; install it beside Node.js"
  node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' ||
    fail "node is $(node --version), which is older than 20"
}

# What an installation was made from: the pins, and the interpreter that runs it.
hash_of() {
  cat -- "$@" | sha256sum | cut -d' ' -f1
}

install_python() {
  local stamp="$tools/python.stamp" wanted
  wanted="$(hash_of "$pins/requirements.txt" <(python3 -c 'import sys; print(sys.version, sys.base_prefix)'))"
  [[ -x "$tools/python/bin/python" && "$(cat "$stamp" 2>/dev/null)" == "$wanted" ]] && return
  say "installing the Python packages"
  rm -rf "$tools/python" "$stamp"
  python3 -m venv "$tools/python" || fail "python3 could not make a virtual environment"
  "$tools/python/bin/python" -m pip install --quiet --disable-pip-version-check \
    --requirement "$pins/requirements.txt" >&2 || fail "pip could not install tests/sdk/requirements.txt"
  "$tools/python/bin/python" -c 'import prometheus_client, resend, schemathesis, stripe, twilio.rest, localstripe.server' || fail "the Python packages do not load"
  printf '%s\n' "$wanted" >"$stamp"
}

# Installs the npm packages that the lock file in the directory $2 pins, under target/test-tools/$1.
install_npm() {
  local name="$1" pinned="$2" stamp="$tools/$1.stamp" wanted
  wanted="$(hash_of "$pinned/package.json" "$pinned/package-lock.json" <(node --version))"
  [[ -d "$tools/$name/node_modules" && "$(cat "$stamp" 2>/dev/null)" == "$wanted" ]] && return
  say "installing the npm packages of ${pinned#"$root/"}"
  rm -rf "${tools:?}/$name" "$stamp"
  mkdir -p "$tools/$name"
  cp "$pinned/package.json" "$pinned/package-lock.json" "$tools/$name/"
  npm ci --prefix "$tools/$name" --ignore-scripts --no-audit --no-fund --loglevel=error >&2 ||
    fail "npm could not install ${pinned#"$root/"}/package-lock.json"
  printf '%s\n' "$wanted" >"$stamp"
}

install_node() {
  install_npm node "$pins"
  local sdk
  for sdk in resend stripe twilio; do
    node -e 'require(process.argv[1])' "$tools/node/node_modules/$sdk" || fail "the npm package $sdk does not load"
  done
}

install_restate() {
  install_npm restate "$root/tests/restate"
  "$tools"/restate/node_modules/@restatedev/restate-server-linux-*/bin/restate-server --version >/dev/null ||
    fail "the Restate server does not run"
  install_npm restate-typescript "$root/examples/restate-typescript"
}

# What the tests of Step Functions need: an interpreter of state machines, and validators.
install_step_functions() {
  local pins="$root/tests/step-functions" to="$tools/step-functions" stamp="$tools/step-functions.stamp" wanted
  wanted="$(hash_of "$pins/requirements.txt" "$pins/package.json" "$pins/package-lock.json" \
    <(python3 -c 'import sys; print(sys.version, sys.base_prefix)') <(node --version))"
  [[ -x "$to/bin/python" && "$(cat "$stamp" 2>/dev/null)" == "$wanted" ]] && return
  say "installing the tools of Step Functions"
  rm -rf "$to" "$stamp"
  python3 -m venv "$to" || fail "python3 could not make a virtual environment"
  "$to/bin/python" -m pip install --quiet --disable-pip-version-check \
    --requirement "$pins/requirements.txt" >&2 || fail "pip could not install tests/step-functions/requirements.txt"
  "$to/bin/python" -c 'import jsonata, moto.server, moto.stepfunctions, statelint' || fail "the interpreter does not load"
  cp "$pins/package.json" "$pins/package-lock.json" "$to/"
  npm ci --prefix "$to" --ignore-scripts --no-audit --no-fund --loglevel=error >&2 ||
    fail "npm could not install tests/step-functions/package-lock.json"
  local tool
  for tool in cfn-lint sam statelint; do
    [[ -x "$to/bin/$tool" ]] || fail "there is no $tool in $to/bin"
  done
  node -e 'require(process.argv[1])' "$to/node_modules/asl-validator" || fail "asl-validator does not load"
  printf '%s\n' "$wanted" >"$stamp"
}

mkdir -p "$tools"
require_python
require_node
install_packages
install_python
install_node
install_restate
install_step_functions
