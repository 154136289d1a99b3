-- POSTs of PaymentIntents, each with an idempotency key of its own.
local count = 0
local run = os.getenv("RUN")
local headers = {
  ["Authorization"] = "Bearer " .. os.getenv("TOKEN"),
  ["Content-Type"] = "application/x-www-form-urlencoded",
}
local body = "amount=100&currency=usd&customer=cus_bench&confirm=true&payment_method=pm_card_visa"

function request()
  count = count + 1
  headers["Idempotency-Key"] = run .. "-" .. count
  return wrk.format("POST", nil, headers, body)
end

function done(summary, latency)
  io.write(string.format("FIGURES %f %f %f %d\n", summary.requests / (summary.duration / 1e6),
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
