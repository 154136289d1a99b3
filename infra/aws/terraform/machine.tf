module "definition" {
  source           = "./definition"
  issue_vault_key  = aws_lambda_function.function["issue-vault-key"].arn
  charge_one       = aws_lambda_function.function["charge-one"].arn
  revoke_vault_key = aws_lambda_function.function["revoke-vault-key"].arn
  fetch_customers  = var.fetch_customers_arn
}

data "aws_iam_policy_document" "states_assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["states.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "billing" {
  statement {
    actions = ["lambda:InvokeFunction"]
    resources = [
      aws_lambda_function.function["issue-vault-key"].arn,
      aws_lambda_function.function["charge-one"].arn,
      aws_lambda_function.function["revoke-vault-key"].arn,
      var.fetch_customers_arn,
    ]
  }
}

resource "aws_iam_role" "billing" {
  name               = "${var.prefix}billing"
  assume_role_policy = data.aws_iam_policy_document.states_assume.json
}

resource "aws_iam_role_policy" "billing" {
  role   = aws_iam_role.billing.id
  policy = data.aws_iam_policy_document.billing.json
}

resource "aws_sfn_state_machine" "billing" {
  name       = "${var.prefix}billing"
  role_arn   = aws_iam_role.billing.arn
  definition = module.definition.json
}

# No state runs after an execution was aborted or timed out: a rule revokes its keys.
resource "aws_cloudwatch_event_rule" "ended" {
  name = "${var.prefix}ended-runs"
  event_pattern = jsonencode({
    source        = ["aws.states"]
    "detail-type" = ["Step Functions Execution Status Change"]
    detail = {
      status          = ["ABORTED", "TIMED_OUT"]
      stateMachineArn = [aws_sfn_state_machine.billing.arn]
    }
  })
}

resource "aws_cloudwatch_event_target" "ended" {
  rule = aws_cloudwatch_event_rule.ended.name
  arn  = aws_lambda_function.function["revoke-ended-run"].arn
}

resource "aws_lambda_permission" "ended" {
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.function["revoke-ended-run"].function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.ended.arn
}

# Lambda itself retries twice within minutes; what fails then waits here for a person.
resource "aws_sqs_queue" "unrevoked_runs" {
  name                      = "${var.prefix}unrevoked-runs"
  sqs_managed_sse_enabled   = true
  message_retention_seconds = 1209600
}

resource "aws_lambda_function_event_invoke_config" "ended" {
  function_name = aws_lambda_function.function["revoke-ended-run"].function_name
  depends_on    = [aws_iam_role_policy.unrevoked_runs]

  destination_config {
    on_failure {
      destination = aws_sqs_queue.unrevoked_runs.arn
    }
  }
}

data "aws_iam_policy_document" "unrevoked_runs" {
  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.unrevoked_runs.arn]
  }
}

resource "aws_iam_role_policy" "unrevoked_runs" {
  name   = "unrevoked-runs"
  role   = aws_iam_role.function["revoke-ended-run"].id
  policy = data.aws_iam_policy_document.unrevoked_runs.json
}

output "billing_arn" {
  description = "The state machine, for keybrake-sfn run."
  value       = aws_sfn_state_machine.billing.arn
}
