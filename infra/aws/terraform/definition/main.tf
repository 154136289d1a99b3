# The state machine's definition with its functions' ARNs. Apart, so that it can be tested without AWS.

variable "issue_vault_key" {
  type = string
}

variable "charge_one" {
  type = string
}

variable "revoke_vault_key" {
  type = string
}

variable "fetch_customers" {
  type = string
}

output "json" {
  value = templatefile("${path.module}/../../../../examples/step-functions/billing.asl.json", {
    IssueVaultKey  = var.issue_vault_key
    ChargeOne      = var.charge_one
    RevokeVaultKey = var.revoke_vault_key
    FetchCustomers = var.fetch_customers
  })
}
