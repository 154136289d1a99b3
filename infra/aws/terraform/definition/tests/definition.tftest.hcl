# terraform test, in the folder above: needs no provider and no AWS.

variables {
  issue_vault_key  = "arn:issue"
  charge_one       = "arn:charge"
  revoke_vault_key = "arn:revoke"
  fetch_customers  = "arn:fetch"
}

run "a_cap_hit_is_the_first_retrier_and_is_never_retried" {
  command = plan

  assert {
    condition     = contains(jsondecode(output.json).States.ChargeCustomers.ItemProcessor.States.ChargeOne.Retry[0].ErrorEquals, "CapExhausted")
    error_message = "Retry is evaluated in order, and before Catch: CapExhausted must come first."
  }
  assert {
    condition     = jsondecode(output.json).States.ChargeCustomers.ItemProcessor.States.ChargeOne.Retry[0].MaxAttempts == 0
    error_message = "A cap hit must not be retried."
  }
  assert {
    condition     = jsondecode(output.json).States.IssueVaultKey.Parameters.FunctionName == "arn:issue"
    error_message = "The functions' ARNs must stand for the placeholders."
  }
}
