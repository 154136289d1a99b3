resource "aws_sqs_queue" "charges" {
  name                    = "${var.prefix}charges"
  sqs_managed_sse_enabled = true
  # Six times the function's time-out, as Lambda advises.
  visibility_timeout_seconds = 600
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.unmade_charges.arn
    maxReceiveCount     = 10
  })
}

resource "aws_sqs_queue" "unmade_charges" {
  name                      = "${var.prefix}unmade-charges"
  sqs_managed_sse_enabled   = true
  message_retention_seconds = 1209600
}

data "aws_iam_policy_document" "charges" {
  statement {
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    resources = [aws_sqs_queue.charges.arn]
  }
}

resource "aws_iam_role_policy" "charges" {
  name   = "charges"
  role   = aws_iam_role.function["charge-from-queue"].id
  policy = data.aws_iam_policy_document.charges.json
}

resource "aws_lambda_event_source_mapping" "charges" {
  event_source_arn = aws_sqs_queue.charges.arn
  function_name    = aws_lambda_function.function["charge-from-queue"].arn
  batch_size       = 10
  # Without it, one message that shall return brings the whole batch back.
  function_response_types = ["ReportBatchItemFailures"]
  depends_on              = [aws_iam_role_policy.charges]
}

output "charges_url" {
  description = "The queue of charges."
  value       = aws_sqs_queue.charges.url
}
