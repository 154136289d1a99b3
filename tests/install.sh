#!/usr/bin/env bash
# Installs what the tests of the real SDKs and of real processes need, as `make test` does first:
# Debian's jq, script, strace, nginx and wrk, and under target/test-tools two Python environments, npm packages
# and engines at the versions that tests/ and examples/ pin. Done before, it only looks. It fails loudly, never
# skips. With the name of an engine it installs only what that engine's example needs.
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

# Makes the Python environment $1 of the pins in $2, in which the modules $3 must load.
install_python() {
  local name="$1" pinned="$2" modules="$3" stamp="$tools/$1.stamp" wanted
  wanted="$(hash_of "$pinned" <(python3 -c 'import sys; print(sys.version, sys.base_prefix)'))"
  [[ -x "$tools/$name/bin/python" && "$(cat "$stamp" 2>/dev/null)" == "$wanted" ]] && return
  say "installing the Python packages of ${pinned#"$root/"}"
  rm -rf "${tools:?}/$name" "$stamp"
  python3 -m venv "$tools/$name" || fail "python3 could not make a virtual environment"
  "$tools/$name/bin/python" -m pip install --quiet --disable-pip-version-check \
    --requirement "$pinned" >&2 || fail "pip could not install ${pinned#"$root/"}"
  "$tools/$name/bin/python" -c "import $modules" || fail "the Python packages of ${pinned#"$root/"} do not load"
  printf '%s\n' "$wanted" >"$stamp"
}

install_sdks() {
  install_python python "$pins/requirements.txt" \
    'prometheus_client, resend, schemathesis, stripe, twilio.rest, localstripe.server'
}

install_ray() {
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "python3 is $(python3 --version), and the pinned packages beside Ray need 3.11"
  install_python ray "$root/tests/python/requirements.txt" \
    'httpx, mypy, pytest, ray.data, ray.serve, resend, setuptools, stripe, twilio.rest, wheel'
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

install_inngest() {
  install_npm inngest-typescript "$root/examples/inngest-typescript"
}

# An interpreter of state machines, and validators.
install_step_functions() {
  install_python step-functions "$root/tests/step-functions/requirements.txt" \
    'jsonata, moto.server, moto.stepfunctions, statelint'
  local tool
  for tool in cfn-lint sam statelint; do
    [[ -x "$tools/step-functions/bin/$tool" ]] || fail "there is no $tool in $tools/step-functions/bin"
  done
  install_npm step-functions-node "$root/tests/step-functions"
  node -e 'require(process.argv[1])' "$tools/step-functions-node/node_modules/asl-validator" ||
    fail "asl-validator does not load"
}

install_durable() {
  install_python durable "$root/examples/durable-task-python/requirements.txt" 'durabletask.testing.in_memory_backend'
}

# The backend for JavaScript, and the example built from its pins.
install_durable_node() {
  install_npm durable-node "$root/tests/durable"
  local example="durable-functions-typescript"
  install_npm "$example" "$root/examples/$example"
  rm -rf "${tools:?}/$example/src" "${tools:?}/$example/dist"
  cp -r "$root/examples/$example/src" "$root/examples/$example/tsconfig.json" "$tools/$example/"
  (cd "$tools/$example" && node_modules/.bin/tsc) || fail "examples/$example does not compile"
}

mkdir -p "$tools"
require_python
case "${1-all}" in
all)
  require_node
  install_packages
  install_sdks
  install_ray
  install_node
  install_restate
  install_inngest
  install_step_functions
  install_durable
  install_durable_node
  ;;
durable) install_durable ;;
ray) install_ray ;;
restate)
  require_node
  install_restate
  ;;
step-functions)
  require_node
  install_step_functions
  ;;
*) fail "it installs all, or what durable, ray, restate or step-functions needs" ;;
esac
