"""Takes wrk's figures out of its talk: requests/s, p50 and p99 in ms, failed requests."""
import sys

print(next(line.split(maxsplit=1)[1].strip() for line in sys.stdin if line.startswith("FIGURES")))
