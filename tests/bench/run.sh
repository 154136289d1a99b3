#!/usr/bin/env bash
# POSTs with distinct idempotency keys through nginx's plain proxy_pass and through keybrake, before
# the same nginx upstream, in turn. Prints requests/s, p50, p99, the ratio, and keybrake's memory.
# Usage: run.sh KEYBRAKE [seconds per round] [rounds]
set -euo pipefail

keybrake=$(realpath "$1")
seconds=${2:-5}
rounds=${3:-3}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/keybrake-bench.XXXXXX")
pids=()
stop() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap stop EXIT

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
upstream=$(free_port) plain=$(free_port) proxy=$(free_port)

cat >"$work/nginx.conf" <<NGINX
daemon off;
worker_processes 1;
pid $work/nginx.pid;
error_log $work/error.log;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/f;
  uwsgi_temp_path $work/u; scgi_temp_path $work/s;
  keepalive_requests 100000000;
  upstream vendor { server 127.0.0.1:$upstream; keepalive 256; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:$upstream backlog=4096;
    location / {
      default_type application/json;
      add_header Request-Id req_bench;
      return 200 '{"id":"pi_bench","object":"payment_intent","amount":100,"amount_received":100,"currency":"usd","status":"succeeded","customer":null,"metadata":{}}';
    }
  }
  server {
    listen 127.0.0.1:$plain backlog=4096;
    location / { proxy_pass http://vendor; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
NGINX
nginx -c "$work/nginx.conf" -p "$work" & pids+=($!)

KEYBRAKE_LISTEN=127.0.0.1:$proxy KEYBRAKE_DATA_DIR=$work/data KEYBRAKE_LOG=error \
KEYBRAKE_API_KEY=kb_api_key_of_the_bench KEYBRAKE_VENDOR_STRIPE_SECRET=sk_test_bench \
KEYBRAKE_VENDOR_STRIPE_BASE_URL=http://127.0.0.1:$upstream "$keybrake" serve & keybrake_pid=$!
pids+=("$keybrake_pid")

for port in "$plain" "$proxy"; do
  for _ in $(seq 200); do curl -sf -o /dev/null "http://127.0.0.1:$port/healthz" && break; sleep 0.05; done
done

token=$(curl -sf "http://127.0.0.1:$proxy/vault/keys" -H 'authorization: Bearer kb_api_key_of_the_bench' -d '{
  "vendor": "stripe", "total_usd_cap": "1000000000", "expires_in": "1h", "agent_run_label": "bench",
  "allowed_endpoints": ["POST /v1/payment_intents"]}' | python3 -c 'import json, sys; print(json.load(sys.stdin)["vault_key"])')

measure() { # PORT CONNECTIONS
  TOKEN=$token RUN=$RANDOM$RANDOM wrk -t1 -c"$2" -d"${seconds}s" --latency -s "$here/post.lua" \
    "http://127.0.0.1:$1/stripe/v1/payment_intents" | python3 "$here/figures.py"
}
cpu() { awk '{print $14 + $15}' "/proc/$keybrake_pid/stat"; }

for connections in 16 64; do
  for round in $(seq "$rounds"); do
    read -r nginx_rate nginx_p50 nginx_p99 _ <<<"$(measure "$plain" "$connections")"
    before=$(cpu)
    read -r rate p50 p99 failed <<<"$(measure "$proxy" "$connections")"
    used=$(($(cpu) - before))
    rss=$(awk '/VmRSS/ {print $2}' "/proc/$keybrake_pid/status")
    [ "$failed" = 0 ] || { echo "failed: $failed answers were not 2xx" >&2; exit 1; }
    awk -v c="$connections" -v n="$round" -v nr="$nginx_rate" -v r="$rate" -v s="$seconds" -v u="$used" \
      -v np50="$nginx_p50" -v np99="$nginx_p99" -v p50="$p50" -v p99="$p99" -v rss="$rss" -v hz="$(getconf CLK_TCK)" 'BEGIN {
      printf "%2d connections, round %d: nginx %6.0f/s p50 %5.2f ms p99 %5.2f ms | keybrake %6.0f/s p50 %5.2f ms p99 %5.2f ms, %3.0f us CPU a call, %3.0f MiB | ratio %.3f\n",
        c, n, nr, np50, np99, r, p50, p99, 1e6 * u / hz / (r * s), rss / 1024, r / nr }'
  done
done | tee "$work/lines"
awk '{ key = $1; count[key]++; ratio[key, count[key]] = $NF }
  END { for (key in count) { n = count[key]
    for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (ratio[key, j] < ratio[key, i]) { t = ratio[key, i]; ratio[key, i] = ratio[key, j]; ratio[key, j] = t }
    printf "median ratio at %s connections: %.3f\n", key, ratio[key, int((n + 1) / 2)] } }' "$work/lines"
